"""Stop stops; an answer that nobody reads has its time of grace; a cut line loses nothing."""

import asyncio
import random

import pytest

from projects.ws_chat.backends.scripted import Scripted, ScriptedAnswer
from tests.ws_chat.hubs import near_the_last_number, opened, refusal
from tests.ws_chat.memory import ONE, WORDS, Memory, Page, until
from tests.ws_chat.virtual import run


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
