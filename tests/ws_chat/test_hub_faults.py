"""What fails ends what it is part of and nothing else: a store, a backend, a conversation that is deleted."""

import asyncio
import io

import pytest

from shared.web import logs
from tests.ws_chat.hubs import opened, refusal
from tests.ws_chat.memory import ONE, WORDS, Memory, Page, until
from tests.ws_chat.virtual import run


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
