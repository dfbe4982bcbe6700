"""The server as a process of its own, for the demonstration, the load test and the tests."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from projects.onnx_serving.server.settings import PREFIX
from shared.errors import UserError

_URL = re.compile(r"http://\S+?:\d+")


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        url: Where.
        process: Its process.
        cold_seconds: From the start of the process until it listened, models loaded.
    """

    url: str
    process: subprocess.Popen[str]
    cold_seconds: float

    def resident_mb(self) -> float:
        """Memory of the process in MB (2²⁰ bytes), shared pages included; 0 where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text())
        return int(found.group(1)) / 1024 if found else 0.0


@contextmanager
def running(options: Mapping[str, object], *, core: int | None = None) -> Iterator[Running]:
    """Start a server, yield it when it answers, and stop it with SIGTERM.

    Args:
        options: Settings by name, for example {"precision": "int8"}; the port is free if none is given.
        core: Keep it on this processor, where the system can.

    Raises:
        UserError: With its own last line, if it does not start.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {PREFIX + name.upper(): str(value) for name, value in {"port": 0, **options}.items()}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "projects.onnx_serving.server"],
        env={**inherited, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None and process.stderr is not None
        found = _URL.search(process.stdout.readline())  # written when the models are loaded; "" if it ended before
        if not found:
            said = process.stderr.read().strip().splitlines()
            raise UserError(f"the server did not start: {said[-1].removeprefix('error: ') if said else 'no message'}")
        yield Running(found.group(), process, time.perf_counter() - started)
    finally:
        stop(process)


def stop(process: subprocess.Popen[str], seconds: float = 30) -> int:
    """SIGTERM, and SIGKILL to one that does not listen. Returns the exit code; a second time changes nothing."""
    if process.returncode is not None:
        return process.returncode
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    return process.wait()
