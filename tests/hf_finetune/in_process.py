"""What the tests of training share: a run in this process, its weights, and a kill that the process survives."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file

from projects.hf_finetune.training.supervisor import Attempt, read_attempt, run_child
from projects.hf_finetune.training.train import fit
from shared.fingerprint.log import read_records

STEPS = 12  # of the configuration in conftest.py: 4 epochs of 3


class Killed(BaseException):
    """In the place of a process that dies."""


def attempt(config, resume=False):
    return Attempt(replace(config, resume=resume), config.accumulation, resume)


def weights(directory):
    return load_file(directory / "model" / "model.safetensors")


def equal_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(directory):
    """The records of a run's log without the seconds that it took."""
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in read_records(directory / "metrics.jsonl")
    ]


def in_process(given):
    """A launcher for `supervise` that saves the seconds of a new process; a kill becomes its exit code."""
    try:
        return run_child(given, fit)
    except Killed:
        return -signal.SIGKILL


class Forked(subprocess.Popen):
    """A child as `subprocess.Popen` starts it, but for the seconds that its imports take: this process, copied.

    It is killed, runs out of address space and is waited for like any other.
    """

    stdin = None
    __del__ = object.__init__

    def __init__(self, words, stdin):
        self.pid = os.fork()
        if not self.pid:
            try:
                code = run_child(read_attempt(Path(words[-1])), fit)
            except BaseException:
                code = 1
            os._exit(code)
        self.returncode = None

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked child", timeout)
            else:
                time.sleep(0.01)
        return self.returncode

    def kill(self):
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


FORKING = SimpleNamespace(Popen=Forked, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
"""In the place of the module `subprocess` where `spawn` starts its child."""


def by_step(seen):
    """Step → its sentences, as last seen: a step that was taken again counts once."""
    steps = {}
    for step, ids in seen:
        steps.setdefault(step, []).append(ids)
    return steps
