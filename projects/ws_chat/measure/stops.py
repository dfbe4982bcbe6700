"""Stop, with the real model: how many tokens it computes after it, and how long until its counter stands still."""

import asyncio
import random
import time
from typing import Any

import numpy as np

from projects.ws_chat.backends.engine import EngineBackend
from projects.ws_chat.hub import Hub
from projects.ws_chat.measure.kept import Kept
from projects.ws_chat.moderation import Rules
from projects.ws_chat.protocol import Shown
from shared.engine import load_engine

QUESTION = "Tell me a long story about a lighthouse."
STANDS = 0.25  # seconds for which the counter is watched after the end of an answer


def rows(stops: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Stop so many answers after 1 to 30 tokens."""
    return [asyncio.run(_measure(stops, random.Random(seed)))]


async def _measure(stops: int, source: random.Random) -> dict[str, Any]:
    backend = EngineBackend(load_engine(), at_once=1, max_tokens=256)
    hub = Hub(Kept(), backend, Rules(()))
    after, seconds, a_token = [], [], []
    for number in range(stops):
        tokens, begun = source.randrange(1, 31), time.perf_counter()
        conversation = f"conversation-{number}"
        page = Page(backend, tokens)
        await hub.subscribe("ana", conversation, 0, page)
        await hub.message("ana", conversation, "message-1", QUESTION)
        await page.reached.wait()
        a_token.append((time.perf_counter() - begun) / max(1, page.tokens))
        computed, asked = backend.computed, time.perf_counter()
        await hub.stop("ana", conversation)
        await page.done.wait()
        seconds.append(time.perf_counter() - asked)
        await asyncio.sleep(STANDS)
        after.append(backend.computed - computed)
        hub.unsubscribe(conversation, page)
    await hub.close()
    await backend.close()
    return {
        "stops": stops,
        "tokens_after_mean": float(np.mean(after)),
        "tokens_after_most": int(max(after)),
        "ended_p50_ms": 1000 * float(np.median(seconds)),
        "ended_p99_ms": 1000 * float(np.quantile(seconds, 0.99)),
        "a_token_p50_ms": 1000 * float(np.median(a_token)),
    }


class Page:
    """Sees so many tokens, then wants to stop."""

    def __init__(self, backend: EngineBackend, wanted: int) -> None:
        self.backend, self.wanted, self.tokens = backend, wanted, 0
        self.reached, self.done = asyncio.Event(), asyncio.Event()

    def __call__(self, frame: Shown) -> None:
        """Count a frame."""
        if frame.type == "token":
            self.tokens += 1
        if self.tokens >= self.wanted or frame.type == "done":
            self.reached.set()
        if frame.type == "done":
            self.done.set()
