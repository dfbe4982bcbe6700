"""Ten minutes of coming, chatting and going: does the server grow?"""

import asyncio
import time
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ws_chat.measure.client import Person, alone, heard, say
from projects.ws_chat.measure.idle import MANY
from shared.study import bootstrap
from shared.web.launch import Running

AT_ONCE, PARTS = 10, 10  # visits at once; parts of the time, of which the first only warms up
TEXT = "every word of this comes back as one token"


def rows(seconds: float) -> list[dict[str, Any]]:
    """Visits, one after the other, for so many seconds: each connects, chats in a new conversation, and leaves."""
    many = {**MANY, "pace": 0.005, "at_once": AT_ONCE, "waiting_of_one": AT_ONCE}
    with alone(many) as (server, person):
        return [asyncio.run(_measure(server, person, seconds))]


async def _measure(server: Running, person: Person, seconds: float) -> dict[str, Any]:
    seen: list[float] = []
    begun = time.monotonic()
    while time.monotonic() < begun + seconds or len(seen) < 2 * PARTS:
        await asyncio.gather(*(_visit(person) for _ in range(AT_ONCE)))
        seen.append(server.resident_mb())
    lasted = time.monotonic() - begun
    parts, growth = grown(np.array(seen), lasted)
    low, high = bootstrap(growth)
    return {
        "seconds": lasted,
        "visits": AT_ONCE * len(seen),
        "begin_mb": float(parts[0]),
        "end_mb": float(parts[-1]),
        "kib_a_minute": sum(growth) / len(growth),
        "low": low,
        "high": high,
    }


def grown(seen: Float[np.ndarray, " n"], seconds: float) -> tuple[Float[np.ndarray, " parts"], list[float]]:
    """Mean memory of each part of the time but the first, and KiB a minute from each of these to the next."""
    parts = np.array([part.mean() for part in np.array_split(seen, PARTS)[1:]])
    return parts, [float(each) for each in 1024 * np.diff(parts) / (seconds / PARTS / 60)]


async def _visit(person: Person) -> None:
    conversation = await asyncio.to_thread(person.conversation)
    async with person.socket() as socket:
        await say(socket, type="subscribe", conversation=conversation, after=0)
        await say(socket, type="message", conversation=conversation, id="message-1", text=TEXT)
        await heard(socket, "done")
    await asyncio.to_thread(person.http.delete, f"/api/conversations/{conversation}")
