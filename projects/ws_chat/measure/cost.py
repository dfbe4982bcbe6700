"""What the server adds to each token: a script that says the time, and pages that look at their clock when it comes."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from projects.ws_chat.measure.client import Person, alone, say

TICKS = os.sysconf("SC_CLK_TCK")


def rows(streams: tuple[int, ...], *, tokens: int = 200, pace: float = 0.05) -> list[dict[str, Any]]:
    """So many answers at once, each with a token every `pace` seconds: how late each token is at its page.

    Both processes read the system's monotonic clock, so that their times can be subtracted.
    """
    found = []
    for count in streams:
        options = {
            "backend": "clock",
            "pace": pace,
            "at_once": count,
            "waiting_of_one": count,
            "waiting": count,
            "ping": 600,
        }
        with alone({**options, "rate": 10_000, "frames": 10_000, "sockets_of_one": 1000}) as (server, person):
            before = _processor_seconds(server.process.pid)
            late = asyncio.run(_streams(person, count, tokens))
            spent = _processor_seconds(server.process.pid) - before
        found.append(_row(count, late, spent))
    return found


def _row(count: int, late: list[list[float]], spent: float) -> dict[str, Any]:
    every = 1000 * np.array([each for stream in late for each in stream])
    first = 1000 * np.array([stream[0] for stream in late])
    return {
        "streams": count,
        "tokens": len(every),
        "late_p50_ms": float(np.median(every)),
        "late_p99_ms": float(np.quantile(every, 0.99)),
        "late_most_ms": float(every.max()),
        "first_p50_ms": float(np.median(first)),
        "first_p99_ms": float(np.quantile(first, 0.99)),
        "processor_ms": 1000 * spent / len(every),
    }


async def _streams(person: Person, count: int, tokens: int) -> list[list[float]]:
    conversations = [person.conversation() for _ in range(count)]
    return await asyncio.gather(*(_stream(person, one, tokens) for one in conversations))


async def _stream(person: Person, conversation: str, tokens: int) -> list[float]:
    late: list[float] = []
    async with person.socket() as socket:
        await say(socket, type="subscribe", conversation=conversation, after=0)
        await say(socket, type="message", conversation=conversation, id="message-1", text=str(tokens))
        while True:
            text = await socket.recv()
            now = time.monotonic_ns()
            frame = json.loads(text)
            if frame["type"] == "token":
                late.append((now - int(frame["text"])) / 1e9)
            elif frame["type"] == "done":
                return late


def _processor_seconds(process: int) -> float:
    """Processor seconds of a process, in its own code and in the kernel's for it."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
