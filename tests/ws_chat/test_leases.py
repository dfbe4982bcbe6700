"""Whose a conversation is: a lease in Redis is kept, given back, lost, and left behind by one that was killed."""

import asyncio
import shutil

import pytest
from sqlalchemy.exc import OperationalError

from tests.ws_chat.gated import Gated
from tests.ws_chat.memory import ONE, TWO, WORDS, Memory, Page, until
from tests.ws_chat.people import run
from tests.ws_chat.relays import Held, die, replicas

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian's redis-server is not installed")


def test_when_a_home_is_killed_the_other_replica_goes_on_with_what_is_stored(redis, empty):
    async def test():
        async with replicas(redis, kind=Gated, allowed=4) as (one, two, store):
            away = Page()
            await one.subscribe("ana", ONE, 0, Page())
            await two.subscribe("ana", ONE, 0, away)
            await two.message("ana", ONE, "message-1", "one two three")
            await away.done.wait()
            one.hub.backend.allowed = 10
            await two.message("ana", ONE, "message-2", WORDS)
            await until(lambda: len(away.of("token")) == 13)
            shown = away.seq
            await die(one, empty)
            await two.look_after()
            assert two.hub.is_open(ONE) and away.of("snapshot")[-1].seq > shown
            assert list(away.messages) == [each.id for each in store.kept[ONE]]
            assert len(away.messages) == 3 and not away.writing
            away.done.clear()
            two.hub.backend.allowed = 1000
            await two.regenerate("ana", ONE, "answer-22")
            await away.done.wait()
            assert away.messages["answer-22"] == WORDS

    run(test())


def test_a_home_that_ends_in_order_hands_over_at_once(redis, empty):
    async def test():
        async with replicas(redis, lease=600.0) as (one, two, _):
            page = Page()
            await one.subscribe("ana", ONE, 0, page)
            await one.message("ana", ONE, "message-1", "hello")
            await page.done.wait()
            await one.close()
            one.close = lambda: asyncio.sleep(0)
            again = Page()
            await two.subscribe("ana", ONE, 0, again)  # far sooner than a lease ends
            assert again.messages == page.messages and two.hub.is_open(ONE)

    run(test())


def test_a_lease_is_given_back_when_nobody_shows_the_conversation(redis, empty):
    async def test():
        async with replicas(redis) as (one, two, _):
            page, key = Page(), f"ws_chat:home:{ONE}"
            await one.subscribe("ana", ONE, 0, page)
            empty.pexpire(key, 20_000)
            await one.look_after()
            assert empty.get(key) == one.id.encode() and empty.pttl(key) > 30_000  # it was renewed
            one.unsubscribe(ONE, page)
            await one.look_after()
            assert empty.get(key) is None
            await two.subscribe("ana", ONE, 0, Page())
            assert two.hub.is_open(ONE) and not one.hub.is_open(ONE)

    run(test())


def test_a_lease_is_not_given_back_while_a_message_is_on_its_way_to_the_hub(redis, empty):
    """The store is slow: between the question whose it is and the hub's opening it, leases are looked after."""

    async def test():
        async with replicas(redis, store=Held(ONE)) as (one, two, store):
            asking = asyncio.create_task(one.message("ana", ONE, "message-1", "hello"))
            await until(lambda: ONE in one._mine and one._pins)
            await one.look_after()
            assert empty.get(f"ws_chat:home:{ONE}") == one.id.encode() and not one.hub.is_open(ONE)
            away = Page()
            coming = asyncio.create_task(two.subscribe("ana", ONE, 0, away))
            store.free.set()
            await asyncio.gather(asking, coming)
            await until(lambda: len(away.messages) == 2)
            assert len(store.kept[ONE]) == 2 and one.hub.is_open(ONE) and not two.hub.is_open(ONE)

    run(test())


def test_who_has_lost_a_lease_writes_no_more_and_its_pages_follow(redis, empty):
    async def test():
        async with replicas(redis, seconds=0.02, script=lambda turns: ["x "] * 5000) as (one, two, _):
            page = Page()
            await one.subscribe("ana", ONE, 0, page)
            await one.message("ana", ONE, "message-1", WORDS)
            await until(lambda: page.of("token"))
            empty.set(f"ws_chat:home:{ONE}", two.id, px=60_000)
            two._mine.add(ONE)
            await one.look_after()
            assert two.hub.is_open(ONE) and not one.hub.is_open(ONE)
            await until(lambda: not one.hub.running)
            assert one.hub.backend.computed < 5000 and not page.of("done")  # its numbers are not of this home any more
            before = page.seq
            await one.message("ana", ONE, "message-2", "hello")
            await until(lambda: page.seq > before and "message-2" in page.messages)

    run(test())


def test_who_is_asked_without_having_the_lease_does_nothing_and_says_so(redis, empty):
    async def test():
        async with replicas(redis, lease=2.0) as (one, two, store):
            empty.set(f"ws_chat:home:{ONE}", one.id)  # as it is while it is being given back
            asking = asyncio.create_task(two.message("ana", ONE, "message-1", "hello"))
            await until(lambda: two._asked)
            await until(lambda: not two._asked)
            assert not one.hub.is_open(ONE) and store.kept[ONE] == []
            empty.delete(f"ws_chat:home:{ONE}")
            await asking
            await until(lambda: len(store.kept[ONE]) == 2)
            assert one.hub.backend.computed == 0 and two.hub.backend.computed == 1

    run(test())


def test_a_lease_of_ones_own_that_is_being_given_back_is_not_used(redis, empty):
    async def test():
        async with replicas(redis, lease=2.0) as (one, _, store):
            empty.set(f"ws_chat:home:{ONE}", one.id)
            asking = asyncio.create_task(one.message("ana", ONE, "message-1", "hello"))
            await asyncio.sleep(0.1)
            assert not one.hub.is_open(ONE) and store.kept[ONE] == []
            empty.delete(f"ws_chat:home:{ONE}")
            await asking
            assert ONE in one._mine and empty.get(f"ws_chat:home:{ONE}") == one.id.encode()

    run(test())


def test_pages_of_a_replica_that_is_gone_do_not_keep_an_answer_going(redis, empty):
    async def test():
        endless = {"seconds": 0.02, "script": lambda turns: ["x "] * 5000}
        async with replicas(redis, grace=0.05, **endless) as (one, two, _):
            at_home, away = Page(), Page()
            await one.subscribe("ana", ONE, 0, at_home)
            await two.subscribe("ana", ONE, 0, away)
            await one.message("ana", ONE, "message-1", "go")
            await until(lambda: away.of("token"))
            one.unsubscribe(ONE, at_home)
            await die(two, empty)
            await one.look_after()
            await until(lambda: not one.hub.running)
            assert one.hub.backend.computed < 5000 and not one.hub.is_open(ONE)

    run(test())


class Broken(Memory):
    """A store that cannot be read for a while."""

    def __init__(self, *conversations):
        super().__init__(*conversations)
        self.broken, self.asked = False, 0

    async def messages(self, user, conversation):
        self.asked += 1
        if self.broken:
            raise OperationalError("SELECT", {}, OSError("disk I/O error"))
        return await super().messages(user, conversation)


def test_a_store_that_cannot_be_read_for_a_while_ends_no_care_for_leases_and_pages(redis, empty):
    async def test():
        async with replicas(redis, store=Broken(ONE), lease=0.6) as (one, two, store):
            away = Page()
            await one.subscribe("ana", ONE, 0, Page())
            await two.subscribe("ana", ONE, 0, away)
            await die(one, empty)
            store.broken, store.asked = True, 0
            await until(lambda: store.asked >= 3)
            store.broken = False
            await until(lambda: len(away.of("snapshot")) == 2)
            assert two.hub.is_open(ONE)

    run(test())


def test_leases_are_held_while_a_page_waits_for_its_next_home(redis, empty):
    async def test():
        async with replicas(redis, store=Held(ONE, TWO), lease=0.6) as (one, two, store):
            store.free.set()
            await one.subscribe("ana", ONE, 0, Page())
            for conversation in (ONE, TWO):
                await two.subscribe("ana", conversation, 0, Page())
            await die(one, empty)
            store.free.clear()
            await until(lambda: two._pins[ONE])  # it is the next home, and waits for the store
            empty.pexpire(f"ws_chat:home:{TWO}", 90_000)
            await until(lambda: empty.pttl(f"ws_chat:home:{TWO}") <= 600)
            assert two._pins[ONE]
            store.free.set()

    run(test())
