"""Runs a command as a child with limits of time, processor and memory, and says how it ended."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shared.course.grading.outcomes import Said
from shared.course.grading.rubric import Limits

KEPT = 20_000  # characters of output; the end is what tells
HIDDEN = ("KEY", "TOKEN", "SECRET", "PASSWORD")
TEAM_KEY = ("CC0C2_TEAM", "CC0C2_TEAM_KEY", "CC0C2_TEAM_KEY_FILE")


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code; negative is the signal that killed it; None if its time was up.
        output: The end of what it printed, both streams.
        seconds: How long it ran.
    """

    code: int | None
    output: str
    seconds: float

    @property
    def trouble(self) -> str:
        """Why it did not end by itself, or ""."""
        if self.code is None:
            told = (
                f"stopped at the time limit, after {self.seconds:.0f} s",
                f"parado por tiempo a los {self.seconds:.0f} s",
            )
            return Said(*told)
        if self.code < 0:
            name, seconds = signal.Signals(-self.code).name, f"{self.seconds:.0f} s"
            told = (
                f"killed by {name} after {seconds} (a limit, or a crash)",
                f"terminado por {name} a los {seconds} (límite o fallo)",
            )
            return Said(*told)
        return ""


def run(command: list[str], folder: Path, limits: Limits, *, with_key: bool = False, pipe: int | None = None) -> Ended:
    """Run a command to its end or its limit; nothing of it is left running.

    Args:
        command: Words; the first is looked up on the path.
        folder: Where it runs.
        limits: Time, processor and memory.
        with_key: Whether it gets the team's key; only our own verifier needs it.
        pipe: A descriptor that it inherits.
    """
    here = [sys.executable, str(Path(__file__).with_name("limited.py"))]
    bounds = [str(int(limits.cpu_seconds)), str(int(limits.memory_gb * 2**30))]
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*here, *bounds, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(with_key),
            start_new_session=True,
            pass_fds=() if pipe is None else (pipe,),
        )
        code: int | None
        try:
            code = process.wait(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end_group(process)
        return Ended(code, _tail(output), time.monotonic() - started)


def environment(with_key: bool) -> dict[str, str]:
    """This process's environment without anything that looks like a secret."""
    kept = {name: value for name, value in os.environ.items() if not any(word in name.upper() for word in HIDDEN)}
    if with_key:
        kept |= {name: os.environ[name] for name in TEAM_KEY if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}


def _end_group(process: subprocess.Popen) -> None:
    """End the child's whole session: a grandchild may not outlive its time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 4 * KEPT))
    return output.read().decode("utf-8", errors="replace")[-KEPT:]
