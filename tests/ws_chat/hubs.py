"""A hub in virtual time, and what its tests wait for and expect."""

from contextlib import asynccontextmanager, contextmanager

import pytest

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.refusals import RefusedError
from tests.ws_chat.memory import ONE, TWO, Memory


@asynccontextmanager
async def opened(*, store=None, rules=(), grace=20.0, waiting=(64, 2), kind=Scripted, **scripted):
    store = store or Memory(ONE, TWO)
    hub = Hub(store, kind(**scripted), Rules(rules), grace=grace, waiting=waiting)
    try:
        yield hub, store
    finally:
        await hub.close()


@contextmanager
def refusal(code, said=None):
    with pytest.raises(RefusedError, match=said) as found:
        yield
    assert found.value.code == code


async def near_the_last_number(hub, page):
    """Ten numbers are left of those that were reserved."""
    await hub.subscribe("ana", ONE, 0, page)
    live = hub._open[ONE]
    page.seq = live.log.seq = live.numbers - 10
    return live
