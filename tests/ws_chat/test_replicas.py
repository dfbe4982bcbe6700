"""Two replicas over one Redis: a page may be at either, and sees the same."""

import asyncio
import random
import shutil

import pytest

from projects.ws_chat.refusals import RefusedError
from shared.errors import UserError
from tests.ws_chat.gated import Gated
from tests.ws_chat.memory import ONE, WORDS, Page, until
from tests.ws_chat.people import run
from tests.ws_chat.relays import Held, Line, replicas

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian's redis-server is not installed")


def test_a_page_at_the_other_replica_sees_what_one_at_home_sees(redis, empty):
    async def test():
        async with replicas(redis) as (one, two, _):
            at_home, away = Page(), Page()
            await one.subscribe("ana", ONE, 0, at_home)
            await two.subscribe("ana", ONE, 0, away)
            assert one.hub.is_open(ONE) and not two.hub.is_open(ONE)
            await two.message("ana", ONE, "message-1", WORDS)
            await at_home.done.wait()
            await away.done.wait()
            assert (away.seq, away.messages) == (at_home.seq, at_home.messages) and len(away.messages) == 2
            assert two.hub.backend.computed == 0 and one.hub.backend.computed == 60

    run(test())


@pytest.mark.parametrize("seed", range(5))
def test_lines_that_are_cut_and_come_back_to_either_replica_lose_nothing(redis, empty, seed):
    async def test():
        source = random.Random(seed)
        async with replicas(redis, seconds=0.002) as (one, two, _):
            steady, cut, at, line = Page(), Page(), None, None
            await one.subscribe("ana", ONE, 0, steady)
            for turn in range(2):
                steady.done.clear()
                await source.choice((one, two)).message("ana", ONE, f"message-{turn}", WORDS)
                while not steady.done.is_set():
                    await asyncio.sleep(source.random() * 0.02)
                    if at is not None:
                        line.cut = True
                        at.unsubscribe(ONE, line)
                    line, at = Line(cut), source.choice((one, two))
                    await at.subscribe("ana", ONE, cut.seq, line)
            await until(lambda: cut.seq == steady.seq)
            assert (cut.messages, cut.writing) == (steady.messages, {}) and len(cut.messages) == 4

    run(test())


def test_stop_at_the_other_replica_stops_the_backend_at_home(redis, empty):
    async def test():
        async with replicas(redis, kind=Gated, allowed=5) as (one, two, _):
            at_home, away = Page(), Page()
            await one.subscribe("ana", ONE, 0, at_home)
            await two.subscribe("ana", ONE, 0, away)
            await one.message("ana", ONE, "message-1", WORDS)
            await until(lambda: len(away.of("token")) >= 3)
            await two.stop("ana", ONE)
            await away.done.wait()
            one.hub.backend.allowed = 1000
            await asyncio.sleep(0.05)
            assert one.hub.backend.computed == 5 and not one.hub.backend.running
            assert away.of("done")[0].reason == "stopped"
            with pytest.raises(RefusedError) as refused:
                await two.stop("ana", ONE)
            assert refused.value.code == "nothing"

    run(test())


def test_a_conversation_of_somebody_else_is_unknown_at_every_replica(redis, empty):
    async def test():
        async with replicas(redis) as (one, two, _):
            await one.subscribe("ana", ONE, 0, Page())
            for relay in (one, two):
                for ask in (
                    lambda relay: relay.subscribe("bob", ONE, 0, Page()),
                    lambda relay: relay.message("bob", ONE, "message-1", "hello"),
                    lambda relay: relay.stop("bob", ONE),
                ):
                    with pytest.raises(RefusedError) as refused:
                        await ask(relay)
                    assert refused.value.code == "unknown_conversation"

    run(test())


def test_typing_is_shown_at_the_other_replica_and_not_to_who_types(redis, empty):
    async def test():
        async with replicas(redis) as (one, two, _):
            at_home, away, other = Page(), Page(), Page()
            await one.subscribe("ana", ONE, 0, at_home)
            await two.subscribe("ana", ONE, 0, away)
            await two.subscribe("ana", ONE, 0, other)
            two.typing("ana", ONE, away)
            await until(lambda: at_home.of("typing") and other.of("typing"))
            assert not away.of("typing")
            one.typing("ana", ONE, at_home)
            await until(lambda: away.of("typing"))
            assert len(at_home.of("typing")) == 1

    run(test())


def test_a_page_that_leaves_while_it_is_subscribed_at_the_other_replica_leaves_nothing_behind(redis, empty):
    async def test():
        async with replicas(redis, store=Held(ONE)) as (one, two, store):
            at_home, away = Page(), Page()
            store.free.set()
            await one.subscribe("ana", ONE, 0, at_home)
            store.free.clear()
            joining = asyncio.create_task(two.subscribe("ana", ONE, 0, away))
            await until(lambda: one._guests)
            two.unsubscribe(ONE, away)
            store.free.set()
            await joining
            await until(lambda: not one._guests)
            assert len(one.hub._open[ONE].listeners) == 1, "the page at home is the only one left"

    run(test())


def test_a_guest_that_leaves_before_it_is_subscribed_is_not_listened_for(redis, empty):
    async def test():
        async with replicas(redis, store=Held(ONE)) as (one, _, store):
            store.free.set()
            await one.subscribe("ana", ONE, 0, Page())
            store.free.clear()
            coming = asyncio.create_task(one._guest("other", "subscribe", "ana", ONE, 0, "page"))
            await until(lambda: one._guests)
            await one._guest("other", "unsubscribe", "page")
            store.free.set()
            await coming
            assert len(one.hub._open[ONE].listeners) == 1 and not one._guests

    run(test())


def test_a_guest_that_is_subscribed_again_since_the_answer_was_late_hears_all_once(redis, empty):
    async def test():
        async with replicas(redis) as (one, _, _store):
            await one.subscribe("ana", ONE, 0, Page())
            for _ in range(2):
                await one._guest("other", "subscribe", "ana", ONE, 0, "page")
            assert len(one.hub._open[ONE].listeners) == 2

    run(test())


def test_a_notice_reaches_every_replica(redis, empty):
    async def test():
        heard = []
        async with replicas(redis) as (one, two, _):
            one.notice = lambda told: heard.append((1, told["session"]))
            two.notice = lambda told: heard.append((2, told["session"]))
            one.tell_all(session="x")
            await until(lambda: len(heard) == 2)
            assert sorted(heard) == [(1, "x"), (2, "x")]

    run(test())


def test_an_entry_that_nobody_understands_is_passed_over(redis, empty):
    async def test():
        async with replicas(redis) as (one, two, _):
            for odd in ({"kind": "frame"}, {"kind": "notice", "told": "{"}, {"nothing": "x"}, {"kind": "ask"}):
                empty.xadd(f"ws_chat:to:{one.id}", odd)
            away = Page()
            await one.subscribe("ana", ONE, 0, Page())
            await two.subscribe("ana", ONE, 0, away)
            assert away.of("snapshot")

    run(test())


@pytest.mark.parametrize(("url", "said"), [("http://x", "looks like redis"), ("redis://127.0.0.1:1", "cannot be used")])
def test_a_redis_that_is_none_is_one_line(url, said):
    async def test():
        with pytest.raises(UserError, match=said):
            async with replicas(url):
                pass

    run(test())
