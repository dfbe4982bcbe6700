"""The first token of the local model: over the socket, and the engine's own in a loop that does nothing else."""

import asyncio
import time
from typing import Any

import numpy as np

from projects.ws_chat.backends.engine import EngineBackend
from projects.ws_chat.context import Turn
from projects.ws_chat.measure import context
from projects.ws_chat.measure.client import Person, alone, heard, say
from shared.engine import Engine, Request, load_engine, stream
from shared.study import bootstrap


def rows(rounds: int) -> list[dict[str, Any]]:
    """The first questions of the thirty conversations, so many times, each asked of both, in turn."""
    engine = load_engine()
    with alone({"backend": "engine", "frames": 10_000}) as (_, person):
        return [asyncio.run(_measure(engine, person, rounds))]


async def _measure(engine: Engine, person: Person, rounds: int) -> dict[str, Any]:
    backend = EngineBackend(engine)  # for its prompt, so that both read the same
    questions = [each.first for each in context.questions()] * rounds
    own, served = [], []
    async with person.socket() as socket:
        for question in questions:
            served.append(await _served(person, socket, question))
            own.append(_own(engine, backend.prompt([Turn("user", question)])))
    await backend.close()
    added = 1000 * (np.array(served) - np.array(own))
    low, high = bootstrap(list(added))
    return {
        "questions": len(questions),
        "own_p50_ms": 1000 * float(np.median(own)),
        "served_p50_ms": 1000 * float(np.median(served)),
        "added_mean_ms": float(added.mean()),
        "low": low,
        "high": high,
        "added_p99_ms": float(np.quantile(added, 0.99)),
    }


def _own(engine: Engine, prompt: list[int]) -> float:
    begun = time.perf_counter()
    next(iter(stream(engine, Request(prompt=prompt, max_tokens=8))))
    return time.perf_counter() - begun


async def _served(person: Person, socket: Any, question: str) -> float:
    conversation = person.conversation()
    await say(socket, type="subscribe", conversation=conversation, after=0)
    await heard(socket, "snapshot")
    begun = time.perf_counter()
    await say(socket, type="message", conversation=conversation, id="message-1", text=question)
    await heard(socket, "token")
    seconds = time.perf_counter() - begun
    await say(socket, type="stop", conversation=conversation)
    await heard(socket, "done")
    await say(socket, type="unsubscribe", conversation=conversation)
    return seconds
