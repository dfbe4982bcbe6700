"""Users take turns, see their place, and who waits can go."""

import asyncio

from tests.ws_chat.hubs import opened, refusal
from tests.ws_chat.memory import ONE, TWO, WORDS, Memory, Page, until
from tests.ws_chat.virtual import run


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
            with refusal("full", "come back in 15 s"):  # three answers before it, of 5 s each as far as is known
                await hub.message("ana", names[3], "message-1", "hello")
            assert store.kept[names[3]] == []  # what was refused was not stored
            await hub.stop("ana", names[1])
            await pages[names[1]].done.wait()
            done = pages[names[1]].of("done")[0]
            assert (done.reason, done.message) == ("stopped", None)
            await hub.message("ana", names[3], "message-1", "hello")

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
