"""Stop stops, a cut line loses nothing, users take turns, and what was acknowledged is stored."""

import asyncio
import io
import random
from contextlib import asynccontextmanager, contextmanager

import pytest

from projects.ws_chat.backends.scripted import Scripted, ScriptedAnswer
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.refusals import RefusedError
from shared.web import logs
from tests.ws_chat.memory import Memory, Page
from tests.ws_chat.virtual import run

ONE, TWO = "conversation-1", "conversation-2"
WORDS = " ".join(f"w{number}" for number in range(60))


@asynccontextmanager
async def opened(*, store=None, rules=(), grace=20.0, waiting=(64, 2), kind=Scripted, **scripted):
    store = store or Memory(ONE, TWO)
    hub = Hub(store, kind(**scripted), Rules(rules), grace=grace, waiting=waiting)
    try:
        yield hub, store
    finally:
        await hub.close()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


@contextmanager
def refusal(code):
    with pytest.raises(RefusedError) as found:
        yield
    assert found.value.code == code


def test_a_message_is_stored_before_it_is_shown_and_then_answered():
    async def test():
        async with opened() as (hub, store):
            page, stored = Page(), []
            await hub.subscribe("ana", ONE, 0, lambda frame: (page(frame), stored.append(len(store.kept[ONE]))))
            await hub.message("ana", ONE, "message-1", "one two three")
            await until(page.done.is_set)
            kinds = [frame.type for frame in page.frames if frame.type != "waiting"]
            assert kinds == ["snapshot", "message", "started", "token", "token", "token", "done"]
            shown = [kept for frame, kept in zip(page.frames, stored, strict=True) if frame.type in ("message", "done")]
            assert shown == [1, 2]
            assert [each.text for each in store.kept[ONE]] == ["one two three"] * 2
            assert store.kept[ONE][1].reason == "end"

    run(test())


def test_after_stop_not_one_token_more_is_computed():
    async def test():
        async with opened(seconds=0.005) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await until(lambda: len(page.of("token")) >= 5)
            await hub.stop("ana", ONE)
            computed = hub.backend.computed
            await page.done.wait()
            await asyncio.sleep(0.05)
            assert hub.backend.computed == computed and not hub.backend.running
            done = page.of("done")[0]
            assert done.reason == "stopped" and WORDS.startswith(done.message.text)
            assert store.kept[ONE][1].text == done.message.text
            with refusal("nothing"):
                await hub.stop("ana", ONE)

    run(test())


class Deaf(ScriptedAnswer):
    """An answer some of whose pieces are on their way when it is cancelled, as those of a thread are."""

    async def _cancelled_within(self, seconds):
        await asyncio.sleep(seconds)
        return False


class DeafBackend(Scripted):
    def answer(self, turns):
        return Deaf(self, iter(self.script(turns)))


def test_after_stop_nothing_is_shown_of_what_was_on_its_way():
    async def test():
        async with opened(kind=DeafBackend, seconds=0.005) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await until(lambda: len(page.of("token")) >= 5)
            await hub.stop("ana", ONE)
            shown = page.writing[page.of("started")[0].answer]
            await page.done.wait()
            assert page.of("done")[0].message.text == store.kept[ONE][1].text == shown
            assert page.of("done")[0].reason == "stopped"

    run(test())


async def near_the_last_number(hub, page):
    """Ten numbers are left of those that were reserved."""
    await hub.subscribe("ana", ONE, 0, page)
    live = hub._open[ONE]
    page.seq = live.log.seq = live.numbers - 10
    return live


def test_an_answer_that_is_stopped_before_it_has_its_numbers_computes_nothing():
    async def test():
        async with opened(store=Memory(ONE, seconds=0.01), seconds=0.005) as (hub, _):
            page = Page()
            await near_the_last_number(hub, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await hub.stop("ana", ONE)
            await page.done.wait()
            assert hub.backend.computed == 0 and page.of("done")[0].reason == "stopped"

    run(test())


def test_an_answer_has_no_number_that_was_not_reserved():
    async def test():
        async with opened() as (hub, store):
            page = Page()
            live = await near_the_last_number(hub, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await page.done.wait()
            assert page.seq == live.log.seq <= live.numbers == store.numbers[ONE]

    run(test())


def test_who_waits_is_not_begun_any_more_when_the_server_drains():
    async def test():
        async with opened(at_once=1, seconds=0.005) as (hub, _):
            pages = {ONE: Page(), TWO: Page()}
            for name, page in pages.items():
                await hub.subscribe("ana", name, 0, page)
                await hub.message("ana", name, "message-1", "one two three")
            await hub.drain(100)
            assert pages[ONE].of("done")[0].reason == "end" and hub.backend.computed == 3
            assert not hub.running and pages[TWO].of("started") == [] and len(hub.queue) == 1

    run(test())


@pytest.mark.parametrize("seed", range(20))
def test_lines_that_are_cut_at_random_lose_nothing(seed):
    """Two pages of one conversation, cut and back at random, show at the end what a page that was never cut shows."""

    async def test():
        source = random.Random(seed)
        async with opened(seconds=0.0005) as (hub, _):
            steady, cut = Page(), Page()
            await hub.subscribe("ana", ONE, 0, steady)
            here = False
            for turn in range(3):
                await hub.message("ana", ONE, f"message-{turn}", WORDS)
                while hub._open[ONE].writing is not None:
                    await asyncio.sleep(source.random() * 0.004)
                    if here:
                        hub.unsubscribe(ONE, cut)
                    else:
                        await hub.subscribe("ana", ONE, cut.seq, cut)
                    here = not here
            if not here:
                await hub.subscribe("ana", ONE, cut.seq, cut)
            assert (cut.seq, cut.messages, cut.writing) == (steady.seq, steady.messages, {})
            assert len(cut.messages) == 6

    run(test())


def test_an_answer_goes_on_for_a_while_without_a_page_and_is_then_cancelled():
    async def test():
        async with opened(seconds=0.005, grace=0.1) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await until(lambda: len(page.of("token")) >= 2)
            hub.unsubscribe(ONE, page)
            seen = hub.backend.computed
            await asyncio.sleep(0.05)
            assert hub.backend.computed > seen  # within its time of grace
            await hub.subscribe("ana", ONE, page.seq, page)
            await asyncio.sleep(0.12)
            assert hub._open[ONE].writing is not None  # who came back keeps it alive
            hub.unsubscribe(ONE, page)
            await until(lambda: ONE not in hub._open)
            computed = hub.backend.computed
            await asyncio.sleep(0.03)
            assert hub.backend.computed == computed < 60
            assert store.kept[ONE][1].reason == "left"

    run(test())


def test_who_leaves_again_has_the_whole_time_of_grace_again():
    async def test():
        async with opened(seconds=0.005, grace=0.1) as (hub, _):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            for _ in range(2):
                hub.unsubscribe(ONE, page)
                await asyncio.sleep(0.06)
                await hub.subscribe("ana", ONE, page.seq, page)
            hub.unsubscribe(ONE, page)
            await asyncio.sleep(0.09)
            assert hub._open[ONE].writing.reason is None  # 0.21 s after it first left

    run(test())


def test_an_answer_whose_page_was_cut_before_it_was_taken_goes_on_for_a_while_only():
    async def test():
        async with opened(store=Memory(ONE, seconds=0.001), seconds=0.01, grace=0.1) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            asked = asyncio.create_task(hub.message("ana", ONE, "message-1", WORDS))
            await asyncio.sleep(0)
            hub.unsubscribe(ONE, page)
            await asked
            await until(lambda: not hub.is_open(ONE))
            assert 5 < hub.backend.computed < 12 and store.kept[ONE][1].reason == "left"

    run(test())


def test_what_is_refused_leaves_nothing_open():
    async def test():
        async with opened(rules=("bad word",)) as (hub, _):
            for act, code in (
                (hub.stop("ana", ONE), "nothing"),
                (hub.message("ana", ONE, "message-1", "a bad word"), "refused"),
                (hub.edit("ana", ONE, "message-1", "message-0", "hello"), "nothing"),
                (hub.regenerate("ana", ONE, "another-1"), "nothing"),
            ):
                with refusal(code):
                    await act
                assert hub.open_ones() == set()

    run(test())


@pytest.mark.parametrize("op", ["subscribe", "message", "edit"])
def test_a_conversation_that_is_deleted_meanwhile_is_unknown(op):
    async def test():
        async with opened(store=Memory(ONE, seconds=0.01)) as (hub, store):
            page = Page()
            if op != "subscribe":
                await hub.subscribe("ana", ONE, 0, page)
            given = {
                "subscribe": (0, page),
                "message": ("message-1", "hello"),
                "edit": ("message-2", "message-0", "hi"),
            }
            if op == "edit":
                await hub.message("ana", ONE, "message-0", "hello")
                await page.done.wait()
            acting = asyncio.create_task(getattr(hub, op)("ana", ONE, *given[op]))
            await asyncio.sleep(0.015)  # its messages were read
            del store.kept[ONE], store.owner[ONE]
            await hub.forget(ONE)
            with refusal("unknown_conversation"):
                await acting
            assert not len(hub.queue) and not hub.running and not hub.is_open(ONE)

    run(test())


def test_a_fault_of_ours_ends_the_answer_and_says_nothing_of_its_content():
    def broken(turns):
        yield "a secret"
        raise ValueError("a secret")

    async def test():
        async with opened(script=broken) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", "a secret")
            await page.done.wait()
            assert page.of("done")[0].reason == "failed" and store.kept[ONE][1].text == "a secret"

    logs.write_to(heard := io.StringIO())
    run(test())
    assert "ValueError" in heard.getvalue() and "secret" not in heard.getvalue()


def test_a_message_that_is_sent_twice_is_taken_once():
    async def test():
        async with opened(store=Memory(ONE, seconds=0.002)) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await asyncio.gather(*(hub.message("ana", ONE, "message-1", "hello") for _ in range(3)))
            await page.done.wait()
            await hub.message("ana", ONE, "message-1", "hello")
            assert [each.role for each in store.kept[ONE]] == ["user", "assistant"]

    run(test())


def test_while_an_answer_is_written_nothing_else_is_taken():
    async def test():
        async with opened(seconds=0.01) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await until(lambda: page.of("token"))
            for act in (
                hub.message("ana", ONE, "message-2", "hello"),
                hub.edit("ana", ONE, "message-2", "message-1", "hello"),
                hub.regenerate("ana", ONE, "another-1"),
            ):
                with refusal("busy"):
                    await act
            await page.done.wait()
            assert [each.text for each in store.kept[ONE]] == [WORDS, WORDS] and len(page.of("started")) == 1

    run(test())


def test_another_answer_that_is_asked_for_twice_is_written_once():
    async def test():
        async with opened(seconds=0.01) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", "one two")
            await page.done.wait()
            page.done.clear()
            await asyncio.gather(*(hub.regenerate("ana", ONE, "another-1") for _ in range(2)))
            await hub.regenerate("ana", ONE, "another-1")
            await page.done.wait()
            await hub.regenerate("ana", ONE, "another-1")
            assert [each.id for each in store.kept[ONE]] == ["message-1", "another-1"] and len(page.of("started")) == 2

    run(test())


def test_edit_and_regenerate_take_away_what_followed():
    async def test():
        async with opened() as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            for number, text in enumerate(("first", "second")):
                page.done.clear()
                await hub.message("ana", ONE, f"message-{number}", text)
                await page.done.wait()
            page.done.clear()
            await hub.regenerate("ana", ONE, "another-1")
            await page.done.wait()
            assert [each.text for each in store.kept[ONE]] == ["first", "first", "second", "second"]
            assert store.kept[ONE][3].id == "another-1"
            page.done.clear()
            await hub.edit("ana", ONE, "message-9", "message-0", "changed")
            await page.done.wait()
            assert [each.text for each in store.kept[ONE]] == ["changed", "changed"] == list(page.messages.values())
            with refusal("nothing"):
                await hub.edit("ana", ONE, "message-8", "message-0", "gone")

    run(test())


def test_other_peoples_conversations_do_not_exist():
    async def test():
        async with opened() as (hub, _):
            page = Page()
            for act in (
                hub.subscribe("eva", ONE, 0, page),
                hub.message("eva", ONE, "message-1", "hello"),
                hub.edit("eva", ONE, "message-1", "message-0", "hello"),
                hub.regenerate("eva", ONE, "message-1"),
                hub.stop("eva", ONE),
                hub.message("ana", "conversation-9", "message-1", "hello"),
            ):
                with refusal("unknown_conversation"):
                    await act
            hub.typing("eva", ONE, page)
            assert page.frames == [] and hub._open == {}

    run(test())


def test_users_take_turns_and_see_their_place():
    async def test():
        names = [f"conversation-{number}" for number in range(5)]
        store = Memory(*names)
        store.owner |= dict.fromkeys(names[3:], "eva")
        pages = {name: Page() for name in names}
        async with opened(store=store, seconds=0.003, at_once=1, waiting=(4, 3)) as (hub, _):
            for name in names:
                await hub.subscribe(store.owner[name], name, 0, pages[name])
                await hub.message(store.owner[name], name, "message-1", "a b c d e")
            places = {name: [frame.place for frame in page.of("waiting")] for name, page in pages.items()}
            assert [places[names[number]][-1] for number in (3, 1, 4, 2)] == [1, 2, 3, 4]  # ana has been served once
            order = []
            while len(order) < 5:
                await asyncio.sleep(0.001)
                order += [name for name in names if pages[name].done.is_set() and name not in order]
            assert order == [names[number] for number in (0, 3, 1, 4, 2)]

    run(test())


def test_who_comes_while_an_answer_waits_sees_that_it_waits_and_one_that_is_written_as_far_as_it_is():
    async def test():
        async with opened(at_once=1, seconds=0.005) as (hub, _):
            for name in (ONE, TWO):
                await hub.subscribe("ana", name, 0, Page())
                await hub.message("ana", name, "message-1", "one two three")
            late, later = Page(), Page()
            await hub.subscribe("ana", TWO, 0, late)
            assert late.frames[0].writing is None and late.frames[1].place == 1
            await until(lambda: len(late.of("token")) == 2)
            await hub.subscribe("ana", TWO, 0, later)
            assert later.frames[0].writing.text == "one two"
            await later.done.wait()
            assert (late.messages, late.seq) == (later.messages, later.seq)

    run(test())


def test_who_waits_can_be_stopped_and_the_queue_is_bounded():
    async def test():
        names = [f"conversation-{number}" for number in range(4)]
        async with opened(store=Memory(*names), seconds=0.01, at_once=1, waiting=(2, 2)) as (hub, store):
            pages = {name: Page() for name in names}
            for name in names:
                await hub.subscribe("ana", name, 0, pages[name])
            for name in names[:3]:
                await hub.message("ana", name, "message-1", WORDS)
            with refusal("full"):
                await hub.message("ana", names[3], "message-1", "hello")
            assert store.kept[names[3]] == []  # what was refused was not stored
            await hub.stop("ana", names[1])
            await pages[names[1]].done.wait()
            done = pages[names[1]].of("done")[0]
            assert (done.reason, done.message) == ("stopped", None)
            await hub.message("ana", names[3], "message-1", "hello")

    run(test())


@pytest.mark.parametrize(("fails_after", "text"), [(0, None), (2, "w0 w1")])
def test_a_backend_that_fails_ends_the_answer_and_nothing_else(fails_after, text):
    async def test():
        async with opened(fails_after=fails_after) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await page.done.wait()
            done = page.of("done")[0]
            assert done.reason == "failed" and (done.message.text if done.message else None) == text
            hub.backend.fails_after = None
            page.done.clear()
            await hub.regenerate("ana", ONE, "another-1")
            await page.done.wait()
            assert store.kept[ONE][-1].text == WORDS

    run(test())


def test_moderation_ends_an_answer_and_refuses_a_message():
    async def test():
        async with opened(rules=("the bomb",), script=lambda turns: ["It is ", "th", "e bo", "mb", " of", " it"]) as (
            hub,
            store,
        ):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            with refusal("refused"):
                await hub.message("ana", ONE, "message-1", "tell me of The B\u200bomb")
            await hub.message("ana", ONE, "message-2", "tell me")
            await page.done.wait()
            assert page.of("done")[0].reason == "filtered" and store.kept[ONE][1].text == "It is "
            assert hub.backend.computed <= 5

    run(test())


def test_a_message_that_cannot_be_stored_is_not_shown_and_blocks_nothing():
    async def test():
        async with opened() as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            store.failing = True
            with refusal("failed"):
                await hub.message("ana", ONE, "message-1", "hello")
            assert page.of("message") == [] and hub._open[ONE].writing is None and len(hub.queue) == 0
            store.failing = False
            await hub.message("ana", ONE, "message-1", "hello")
            await page.done.wait()
            assert len(store.kept[ONE]) == 2

    run(test())


def test_an_edit_is_stored_whole_or_not_at_all():
    async def test():
        async with opened() as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", "hello")
            await page.done.wait()
            store.failing, before = True, (list(store.kept[ONE]), dict(page.messages))
            with refusal("failed"):
                await hub.edit("ana", ONE, "message-2", "message-1", "another")
            assert (store.kept[ONE], page.messages) == before and not page.of("removed")
            store.failing = False
            page.done.clear()
            await hub.edit("ana", ONE, "message-2", "message-1", "another")
            await page.done.wait()
            assert [each.text for each in store.kept[ONE]] == ["another"] * 2 == list(page.messages.values())

    run(test())


def test_an_answer_that_cannot_be_stored_frees_its_place():
    async def test():
        async with opened(at_once=1, seconds=0.002) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", "a b c d")
            store.failing = True
            await page.done.wait()
            assert page.of("done")[0].reason == "failed" and page.of("done")[0].message is None
            store.failing = False
            page.done.clear()
            await hub.message("ana", ONE, "message-2", "hello")
            await page.done.wait()
            assert page.of("done")[1].reason == "end"

    run(test())


def test_a_process_that_takes_over_begins_above_every_number_that_was_sent():
    async def test():
        store = Memory(ONE)
        page = Page()
        async with opened(store=store) as (hub, _):
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", "hello you")
            await page.done.wait()
        before = page.seq
        async with opened(store=store) as (hub, _):
            await hub.subscribe("ana", ONE, page.seq, page)
            assert page.frames[-1].type == "snapshot" and page.seq > before
            assert len(page.messages) == 2

    run(test())


def test_a_deleted_conversation_ends_its_answer():
    async def test():
        async with opened(seconds=0.005) as (hub, store):
            page = Page()
            await hub.subscribe("ana", ONE, 0, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await until(lambda: len(page.of("token")) >= 2)
            del store.owner[ONE]
            await hub.forget(ONE)
            assert page.of("changed")
            await until(lambda: not hub.running)
            assert hub.backend.computed < 60
            with refusal("unknown_conversation"):
                await hub.subscribe("ana", ONE, page.seq, page)

    run(test())
