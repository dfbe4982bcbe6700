"""What the tests of training share: a run in this process, its weights, and a kill that the process survives."""

import signal
from dataclasses import replace

import torch
from safetensors.torch import load_file

from projects.hf_finetune.training.supervisor import Attempt, run_child
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


def by_step(seen):
    """Step → its sentences, as last seen: a step that was taken again counts once."""
    steps = {}
    for step, ids in seen:
        steps.setdefault(step, []).append(ids)
    return steps
