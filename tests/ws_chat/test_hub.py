"""Messages are stored before they are shown, taken once, moderated, changed, and nobody else's."""

import asyncio

from tests.ws_chat.hubs import near_the_last_number, opened, refusal
from tests.ws_chat.memory import ONE, WORDS, Memory, Page, until
from tests.ws_chat.virtual import run


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


def test_an_answer_has_no_number_that_was_not_reserved():
    async def test():
        async with opened() as (hub, store):
            page = Page()
            live = await near_the_last_number(hub, page)
            await hub.message("ana", ONE, "message-1", WORDS)
            await page.done.wait()
            assert page.seq == live.log.seq <= live.numbers == store.numbers[ONE]

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


def test_pages_that_open_a_conversation_at_once_show_the_same_one():
    async def test():
        async with opened(store=Memory(ONE, seconds=0.01)) as (hub, _):
            pages = [Page() for _ in range(3)]
            await asyncio.gather(*(hub.subscribe("ana", ONE, 0, page) for page in pages))
            await hub.message("ana", ONE, "message-1", "one two")
            for page in pages:
                await page.done.wait()
            assert len({page.seq for page in pages}) == 1

    run(test())
