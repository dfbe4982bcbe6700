"""Replicas in one process over a real Redis, and a way to kill one of them."""

import asyncio
from contextlib import asynccontextmanager

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.replicas import Relay
from tests.ws_chat.memory import ONE, Memory


@asynccontextmanager
async def replicas(url, count=2, *, lease=60.0, store=None, grace=20.0, kind=Scripted, **scripted):
    store, made = store or Memory(ONE), []
    for _ in range(count):
        relay = Relay(Hub(store, kind(**scripted), Rules(()), grace=grace), url, lease=lease)
        await relay.start()
        made.append(relay)
    try:
        yield (*made, store)
    finally:
        for relay in made:
            await relay.close()


async def die(relay, redis):
    """As kill -9 does: nothing is given back, said or stored any more; then its time in Redis is over."""
    relay.hub.store = Memory(ONE)
    relay.hub.store.failing = True
    relay._closed = True
    for task in tuple(relay._tasks):
        task.cancel()
    await relay._wires.close()
    for task in tuple(relay.hub.running):
        task.cancel()
    relay.close = lambda: asyncio.sleep(0)
    redis.delete(
        f"ws_chat:alive:{relay.id}", *(lease for lease in leases(redis) if redis.get(lease) == relay.id.encode())
    )


def leases(redis):
    return redis.keys("ws_chat:home:*")


class Held(Memory):
    """A store that answers when it is told to."""

    def __init__(self, *conversations):
        super().__init__(*conversations)
        self.free = asyncio.Event()

    async def messages(self, user, conversation):
        await self.free.wait()
        return await super().messages(user, conversation)


class Line:
    """A socket to a page: what is sent after it was cut is lost."""

    def __init__(self, page):
        self.page, self.cut = page, False

    def __call__(self, frame):
        if not self.cut:
            self.page(frame)
