"""Ctrl-C ends a command and its children in one line with exit code 130, from its first import to its last."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import started

BENCH = """
import os
from dataclasses import dataclass
from shared.errors import command
from shared.interleave import in_turn, serve, spawned

@dataclass(frozen=True)
class Config:
    pass

def work(pipe, _):
    say(f"child {os.getpid()}")
    serve(pipe.recv, pipe.send, lambda: say("step"))

def say(words):  # in one piece, since two processes share the pipe
    os.write(1, f"{words}\\n".encode())

def main(config):
    with spawned(work, {"a": 0, "b": 0}) as arms:
        in_turn(arms, rounds=1_000_000, steps=1)

if __name__ == "__main__":
    command(main, Config)
"""


def interrupted(process):
    """Ctrl-C: the terminal signals the whole group. Returns what was said on stderr."""
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=60)[1]


def wait_until(condition, process):
    """Ask until it holds, or the process has ended."""
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)


@pytest.mark.parametrize("project", ["lora", "rag_agent"])
def test_an_interrupt_while_torch_is_imported(project):
    with started("-m", f"projects.{project}") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: "libtorch" in maps.read_text(), process)
        assert (interrupted(process), process.returncode) == ("interrupted\n", 130)


def test_an_interrupt_of_a_benchmark_is_said_once(tmp_path):
    """Its arms do not hear the terminal's signal; the first process ends them."""
    (tmp_path / "bench.py").write_text(BENCH)
    with started(str(tmp_path / "bench.py")) as process:
        child = int(process.stdout.readline().removeprefix("child "))
        os.kill(child, signal.SIGINT)
        wait_until(lambda: process.stdout.readline() == "step\n", process)
        os.kill(child, signal.SIGINT)
        wait_until(lambda: process.stdout.readline() == "step\n", process)
        said = [line for line in interrupted(process).splitlines() if not line.startswith("rounds: ")]
        assert (said, process.returncode) == (["interrupted"], 130)


DONE = """
import atexit, sys, time
from dataclasses import dataclass
from shared.errors import command

@dataclass(frozen=True)
class Config:
    pass

atexit.register(lambda: (print("leaving", flush=True), time.sleep(0.5)))  # runs after what `command` registers
command(lambda config: print("done", flush=True), Config, [])
"""


def test_ctrl_c_when_the_work_is_done_ends_nothing():
    with started("-c", DONE) as process:
        wait_until(lambda: process.stdout.readline() == "leaving\n", process)
        assert (interrupted(process), process.returncode) == ("", 0)


DESTRUCTOR = """
import signal, time
from shared.errors import reported

class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)  # Ctrl-C comes while this runs: Python cannot raise from here
        for _ in range(1000):
            pass

with reported():
    Interrupted()
    for _ in range(200):
        time.sleep(0.05)
    print("went on as if nothing had been")
"""


def test_ctrl_c_that_a_destructor_swallows_ends_the_command_all_the_same():
    done = subprocess.run([sys.executable, "-c", DESTRUCTOR], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
