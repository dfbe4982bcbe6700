"""A server from the socket to the last answer: `serve` in its own process, `running` from another one."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import uvicorn

from shared.errors import UserError

STOPPING = {signal.SIGINT, signal.SIGTERM}
_URL = re.compile(r"http://\S+?:\d+")


def serve(make: Callable[[], Any], *, host: str, port: int, said: str, grace: int = 20, **options: Any) -> None:
    """Serve until SIGTERM or Ctrl-C; running requests get the time of grace, then connections are closed.

    Args:
        make: Loads models and makes the application, once the address is ours.
        host: Address to listen on.
        port: 0 takes a free one.
        said: Written with the address when it answers, for example "answers questions".
        grace: Seconds.
        options: More of uvicorn's, for a service with WebSockets or behind a proxy. Without `proxy_headers` nobody is
            believed who says for whom he asks; uvicorn's own default believes every process of this machine.

    Raises:
        UserError: If the address is in use or not allowed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more when all is drained
    opened = listening(host, port)
    try:
        app = make()
        taken_host, taken_port = opened.getsockname()[:2]
        shown = f"[{taken_host}]" if ":" in taken_host else taken_host
        # No access log: it would print the query string; shared/web/logs.py writes its own, without it.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=grace,
            lifespan="on",
            server_header=False,
            **{"proxy_headers": False, **options},
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # an event loop that is only half there would end aloud
        _Server(config, f"{said} on http://{shown}:{taken_port}").run(sockets=[opened])
    finally:
        opened.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket at the address.

    Raises:
        UserError: If it is in use or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which else holds each answer back for 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise UserError(f"cannot listen on {host}:{port} ({error}): choose a free port, or 0") from None
    return opened


class _Server(uvicorn.Server):
    """Listens to signals once it can stop in order, and says when it serves."""

    def __init__(self, config: uvicorn.Config, said: str) -> None:
        super().__init__(config)
        self._said = said

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve; uvicorn has its handlers by now."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        await super().startup(sockets)
        if self.started:  # else the application has said why it does not begin
            sys.stdout.write(f"{self._said}\n")
            sys.stdout.flush()


@dataclass(frozen=True)
class Running:
    """A server that answers, in a process of its own.

    Attributes:
        url: Its address.
        process: Its process.
        cold_seconds: From the start of the process until it listened, models loaded.
        log: What it writes to standard error, growing.
    """

    url: str
    process: subprocess.Popen[str]
    cold_seconds: float
    log: TextIO

    def said(self) -> str:
        """What it has written to standard error so far."""
        self.log.seek(0)
        return self.log.read()

    def resident_mb(self) -> float:
        """Memory of the process in MB (2²⁰ bytes), shared pages included; 0 where the system does not say."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
        return int(found.group(1)) / 1024 if found else 0.0


@contextmanager
def running(module: str, prefix: str, options: Mapping[str, object], *, core: int | None = None) -> Iterator[Running]:
    """Start a server, yield it when it answers, and stop it with SIGTERM.

    Args:
        module: Run with `python -m`.
        prefix: What its variables begin with, for example "QA_API_".
        options: Settings by name, for example {"precision": "int8"}; the port is free if none is given.
        core: Keep it on this processor, where the system can.

    Raises:
        UserError: With its own last line, if it does not start.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefix)}
    given = {prefix + name.upper(): str(value) for name, value in {"port": 0, **options}.items()}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would stop the server when it is full
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**inherited, **given},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            if core is not None and hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {core})
            yield Running(_address(process, log), process, time.perf_counter() - started, log)
        finally:
            stop(process)
            assert process.stdout is not None
            process.stdout.close()


def _address(process: subprocess.Popen[str], log: TextIO) -> str:
    """What a server writes when its models are loaded.

    Raises:
        UserError: If it ended before.
    """
    assert process.stdout is not None
    if found := _URL.search(process.stdout.readline()):
        return found.group()
    process.wait()
    log.seek(0)
    said = log.read().strip().splitlines()
    raise UserError(f"the server did not start: {said[-1].removeprefix('error: ') if said else 'no message'}")


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
