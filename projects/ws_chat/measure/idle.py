"""What sockets cost that only wait, and whether memory stays where it is while others come and go."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from typing import Any

from projects.ws_chat.measure.client import Person, invitation_of, people, running
from shared.web.launch import Running


def rows(sockets: int, churn: float) -> list[dict[str, Any]]:
    """Hold so many sockets open; then open and close others for so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"backend": "script", "data": folder, "rate": 10_000, "sockets_of_one": 10_000, "sockets": 10_000}
        with running(options) as server, people(server.url, invitation_of(server.said())) as (person,):
            return [asyncio.run(_measure(server, person, sockets, churn))]


async def _measure(server: Running, person: Person, sockets: int, churn: float) -> dict[str, Any]:
    await _open(person, 50)  # what the first ones load is no cost of a socket
    empty = server.resident_mb()
    async with AsyncExitStack() as stack:
        for _ in range(0, sockets, 50):
            await asyncio.gather(*(stack.enter_async_context(person.socket()) for _ in range(50)))
        held = server.resident_mb()
    seen, opened, end = [], 0, time.monotonic() + churn
    while time.monotonic() < end:
        await _open(person, 50)
        opened += 50
        seen.append(server.resident_mb())
    half = len(seen) // 2
    return {
        "sockets": sockets,
        "kib_a_socket": 1024 * (held - empty) / sockets,
        "churn_seconds": churn,
        "opened_and_closed": opened,
        "first_half_most_mb": max(seen[:half]),
        "second_half_most_mb": max(seen[half:]),
    }


async def _open(person: Person, count: int) -> None:
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(person.socket()) for _ in range(count)))
