"""What a socket costs that only waits."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from projects.ws_chat.measure.client import Person, alone
from shared.web.launch import Running

AT_ONCE = 50  # sockets are opened in groups of so many
MANY = {"backend": "script", "rate": 10_000, "frames": 10_000, "sockets": 10_000, "sockets_of_one": 10_000}


def rows(sockets: int) -> list[dict[str, Any]]:
    """Hold so many sockets open: what the server has grown by."""
    with alone(MANY) as (server, person):
        return [asyncio.run(_measure(server, person, sockets))]


async def _measure(server: Running, person: Person, sockets: int) -> dict[str, Any]:
    async with AsyncExitStack() as warm:  # what the first ones load is no cost of a socket
        await _open(warm, person, AT_ONCE)
    empty = server.resident_mb()
    async with AsyncExitStack() as stack:
        for begun in range(0, sockets, AT_ONCE):
            await _open(stack, person, min(AT_ONCE, sockets - begun))
        held = server.resident_mb()
    return {"sockets": sockets, "kib_a_socket": 1024 * (held - empty) / sockets}


async def _open(stack: AsyncExitStack, person: Person, count: int) -> None:
    await asyncio.gather(*(stack.enter_async_context(person.socket()) for _ in range(count)))
