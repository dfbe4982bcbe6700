"""`make bench-ws_chat`: beside Chainlit, in an environment of its own, the same scripted model: memory, delay, Stop."""

import json
import os
import subprocess
import sys
import time
import venv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from projects.ws_chat.config import RESULTS
from projects.ws_chat.measure import cost, idle, stops
from projects.ws_chat.server.cluster import free_port
from projects.ws_chat.study import BENCH
from shared.errors import UserError, command
from shared.measured import publish_bench

CHAINLIT = "chainlit==2.12.0"
HERE = Path(__file__).parent / "peers"


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure both servers, one after the other, with the same script."""

    sockets: int = 200
    """Idle connections."""
    tokens: int = 400
    """Tokens of the answer whose delays are measured."""
    stops: int = 20
    """Answers of ours that are stopped."""
    environment: Path = Path("runs/ws_chat/chainlit")
    """Where Chainlit is installed, once."""
    out: Path = RESULTS
    """Where the CSV file goes."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Measure, write, show."""
    python = installed(config.environment)
    mine = ours(config)
    theirs = chainlit(python, config)
    rows = [mine]
    for how, said in (("await", "a script that awaits"), ("thread", "a script in a thread, as generate's streamer")):
        row = {name: theirs[name] for name in ("kib_a_socket", "late_p50_ms", "late_p99_ms")}
        rows.append({"server": f"Chainlit, {said}", **row, "tokens_after_stop": theirs[how]})
    details = {"sockets": config.sockets, "tokens": config.tokens, "chainlit": CHAINLIT, "pace": PACE}
    return publish_bench(BENCH, rows, config.out, "ws_chat", details)


PACE = 0.05


def ours(config: BenchConfig) -> dict[str, Any]:
    """This server: its tokens after Stop are those of the local model, which computes in a thread."""
    (delay,) = cost.rows((1,), tokens=config.tokens, pace=PACE)
    (memory,) = idle.rows(config.sockets)
    (stopped,) = stops.rows(config.stops)
    return {
        "server": "ws_chat",
        "kib_a_socket": memory["kib_a_socket"],
        "late_p50_ms": delay["late_p50_ms"],
        "late_p99_ms": delay["late_p99_ms"],
        "tokens_after_stop": stopped["tokens_after_most"],
    }


def chainlit(python: Path, config: BenchConfig) -> dict[str, Any]:
    """Chainlit with the same script."""
    port = free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        words = [str(python.with_name("chainlit")), "run", str((HERE / "chainlit_app.py").resolve()), "--headless"]
        given = {"PATH": os.environ["PATH"], "HOME": folder, "PACE": str(PACE), "CHAINLIT_APP_ROOT": folder}
        server = subprocess.Popen(
            [*words, "--port", str(port)], env=given, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(server.wait, 20)
        stack.callback(server.terminate)
        address = f"http://127.0.0.1:{port}"
        _wait(server, address)
        asked = [address, str(server.pid), str(config.sockets), str(config.tokens)]
        client = [str(python), str((HERE / "chainlit_client.py").resolve()), *asked]
        said = subprocess.run(client, check=False, capture_output=True, text=True, cwd=folder, timeout=300)
        if said.returncode:
            raise UserError(f"Chainlit's page failed: {said.stderr.strip().splitlines()[-1]}")
        return dict(json.loads(said.stdout.splitlines()[-1]))


def installed(folder: Path) -> Path:
    """Python of an environment with Chainlit.

    Raises:
        UserError: If it cannot be installed.
    """
    python = (folder / "bin" / "python").absolute()
    if not (folder / "bin" / "chainlit").exists():
        sys.stdout.write(f"Installing {CHAINLIT} in {folder} (once)\n")
        venv.create(folder, with_pip=True)
        words = [str(python), "-m", "pip", "install", "--quiet", CHAINLIT, "python-socketio", "aiohttp"]
        if subprocess.run(words, check=False).returncode:
            raise UserError(f"{CHAINLIT} cannot be installed: is the package index reachable?")
    return python


def _wait(server: "subprocess.Popen[bytes]", address: str) -> None:
    for _ in range(600):
        try:
            httpx.get(address, timeout=5)
            return
        except httpx.HTTPError:
            if server.poll() is not None:
                raise UserError("Chainlit did not start") from None
            time.sleep(0.1)
    raise UserError("Chainlit did not answer within a minute")


if __name__ == "__main__":
    command(main, BenchConfig)
