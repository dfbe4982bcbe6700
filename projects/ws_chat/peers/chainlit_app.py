"""A Chainlit application whose model says the time: `chainlit run` starts it.

Two models of one pace: one that awaits, which a cancelled task takes with it, and one that computes in a thread of its
own into a queue, as transformers' generate does with its streamer.
"""

import asyncio
import os
import queue
import threading
import time
from importlib.util import find_spec
from typing import Any

PACE = float(os.environ.get("PACE", "0.05"))
COMPUTED = [0]


async def answer(message: Any) -> None:
    """Answer "await 200" or "thread 200" with so many tokens, "count" with how many were computed."""
    import chainlit as cl

    how, _, count = message.content.partition(" ")
    if how == "count":
        await cl.Message(content=str(COMPUTED[0])).send()
        return
    reply = cl.Message(content="")
    if how == "await":
        for _ in range(int(count)):
            await asyncio.sleep(PACE)
            await reply.stream_token(token())
    else:
        pieces: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=compute, args=(int(count), pieces), daemon=True).start()
        while (piece := await asyncio.to_thread(pieces.get)) is not None:
            await reply.stream_token(piece)
    await reply.send()


def compute(count: int, pieces: "queue.Queue[str | None]") -> None:
    """The model in its thread."""
    for _ in range(count):
        time.sleep(PACE)
        pieces.put(token())
    pieces.put(None)


def token() -> str:
    """The time, counted."""
    COMPUTED[0] += 1
    return str(time.monotonic_ns())


if find_spec("chainlit") is not None:  # it is in an environment of its own, and nowhere else
    import chainlit

    chainlit.on_message(answer)
