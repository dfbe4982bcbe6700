"""Two replicas over one Redis: a page may be at either, lines may be cut, a home may be gone, and nothing is lost."""

import asyncio
import random
import shutil
import subprocess
import time
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.refusals import RefusedError
from projects.ws_chat.replicas import Relay
from shared.errors import UserError
from tests.ws_chat.gated import Gated
from tests.ws_chat.memory import Memory, Page

ONE = "conversation-1"
WORDS = " ".join(f"w{number}" for number in range(60))
pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian's redis-server is not installed")


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    path = tmp_path_factory.mktemp("redis") / "s"
    words = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=path.parent) as process:
        with Redis(unix_socket_path=str(path)) as client:
            while True:
                try:
                    client.ping()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.01)
                except Exception:
                    time.sleep(0.01)
            yield f"unix://{path}"
        process.terminate()


@pytest.fixture
def empty(redis):
    with Redis.from_url(redis) as client:
        client.flushall()
        yield client


def run(test):
    asyncio.run(asyncio.wait_for(test, 60))


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


async def until(condition):
    while not condition():
        await asyncio.sleep(0.002)


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
            await until(lambda: not one.hub.backend.running)
            assert one.hub.backend.computed < 5000
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
