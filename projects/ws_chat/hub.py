"""Conversations that are open now: who listens, what is being written, who is next.

Everything here runs in one event loop. What a page sees is an event with a number (numbering.py); what it can rely on
is in the store before the event is sent. One conversation is changed by one coroutine at a time.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from projects.ws_chat import protocol
from projects.ws_chat.backends.backend import Backend, BackendError
from projects.ws_chat.context import TooLongError, Turn, fit
from projects.ws_chat.live import Listen, Live, Writing
from projects.ws_chat.moderation import Moderated, Rules
from projects.ws_chat.numbering import EventLog
from projects.ws_chat.protocol import Reason, Stored
from projects.ws_chat.refusals import RefusedError, failure_refused, gone_refused
from projects.ws_chat.store.interface import GoneError, Store
from projects.ws_chat.turns import FairQueue, FullError
from shared.web import logs

RESERVED = 10_000  # numbers that are taken from the store at once
Changed = TypeVar("Changed")
LEAST_LEFT = 5_000  # of them before an answer begins: no answer has more events


class Hub:
    """All conversations that are open in this process.

    Args:
        store: Keeps them.
        backend: Writes the answers.
        rules: What may not be said, by either side.
        waiting: Answers that may wait, and those of one user.
        grace: Seconds that an answer goes on when nobody listens any more.
    """

    def __init__(
        self, store: Store, backend: Backend, rules: Rules, *, waiting: tuple[int, int] = (64, 2), grace: float = 20.0
    ) -> None:
        self.store, self.backend, self.rules, self.grace = store, backend, rules, grace
        self.queue: FairQueue[Writing] = FairQueue(*waiting)
        self.running: set[asyncio.Task[None]] = set()
        self._open: dict[str, Live] = {}
        self._opening = asyncio.Lock()
        self._ending = False
        self.seconds = 5.0  # that an answer takes, as a mean in which old ones fade

    # ------------------------------------------------------------ listening

    async def subscribe(self, user: str, conversation: str, after: int, listen: Listen) -> None:
        """Let a page have all events after a number, or a snapshot, and then what comes.

        Raises:
            RefusedError: If there is no such conversation of this user.
        """
        async with self._used(user, conversation) as live:
            missed = live.log.since(after) if after else None  # from here on nothing waits: no event comes between
            for frame in [live.snapshot()] if missed is None else missed:
                listen(frame)
            live.listeners[listen] = user
            if live.leaving is not None:
                live.leaving.cancel()
                live.leaving = None
            self._tell_places()

    def unsubscribe(self, conversation: str, listen: Listen) -> None:
        """A page is gone, or shows something else."""
        live = self._open.get(conversation)
        if live is not None and live.listeners.pop(listen, None) is not None:
            self._let_go(live)

    def typing(self, user: str, conversation: str, listen: Listen) -> None:
        """Tell the other pages of a conversation that somebody writes."""
        live = self._open.get(conversation)
        if live is not None and listen in live.listeners:
            live.tell(protocol.TypingShown(conversation=conversation, user=user), but=listen)

    # ------------------------------------------------------------ what users do

    async def message(self, user: str, conversation: str, identity: str, text: str) -> None:
        """Take a message of the user, and begin an answer.

        Raises:
            RefusedError: If an answer is being written, the queue is full, or the text is refused.
        """
        async with self._changing(user, conversation) as live:
            if any(each.id == identity for each in live.messages):
                return  # sent twice: a page that did not hear of it
            self._check(live, text)
            said = Stored(id=identity, role="user", text=text, created=datetime.now(UTC))
            self._plan(live, user, [*live.messages, said])
            await self._keep(live, said)
            self._begin()

    async def edit(self, user: str, conversation: str, identity: str, message: str, text: str) -> None:
        """Another text instead of an earlier message and all after it. Raises as `message`."""
        async with self._changing(user, conversation) as live:
            if any(each.id == identity for each in live.messages):
                return
            place = next((n for n, each in enumerate(live.messages) if (each.id, each.role) == (message, "user")), None)
            if place is None:
                raise RefusedError("nothing", "there is no such message of yours")
            self._check(live, text)
            said = Stored(id=identity, role="user", text=text, created=datetime.now(UTC))
            self._plan(live, user, [*live.messages[:place], said])
            await self._remove(live, message, instead=said)
            self._begin()

    async def regenerate(self, user: str, conversation: str, identity: str) -> None:
        """Another answer instead of the last one; sent twice with one id, it is taken once. Raises as `message`."""
        async with self._changing(user, conversation) as live:
            if live.writing is not None and live.writing.id == identity:
                return
            if any(each.id == identity for each in live.messages):
                return
            self._check(live, "")
            last = len(live.messages) - 1
            asked = next((n for n in range(last, -1, -1) if live.messages[n].role == "user"), None)
            if asked is None:
                raise RefusedError("nothing", "there is nothing to answer yet")
            self._plan(live, user, live.messages[: asked + 1], identity)
            if asked < last:
                await self._remove(live, live.messages[asked + 1].id)
            self._begin()

    async def stop(self, user: str, conversation: str) -> None:
        """End the answer that is being written, or that waits.

        Raises:
            RefusedError: If there is none.
        """
        async with self._used(user, conversation) as live:
            if live.writing is None:
                raise RefusedError("nothing", "no answer is being written")
            self._cancel(live.writing, "stopped")

    async def forget(self, conversation: str) -> None:
        """A conversation was deleted: its answer ends, its pages are told."""
        live = self._open.pop(conversation, None)
        if live is not None:
            if live.writing is not None:
                self._cancel(live.writing, "stopped")
            live.tell(protocol.Changed(conversation=conversation))

    def is_open(self, conversation: str) -> bool:
        """Whether somebody listens to it, or an answer is being written."""
        return conversation in self._open

    def open_ones(self) -> set[str]:
        """All of which this is so."""
        return set(self._open)

    def abandon(self, conversation: str) -> None:
        """Another process has taken the conversation over: nobody here writes on."""
        live = self._open.pop(conversation, None)
        if live is not None:
            live.listeners.clear()
            if live.writing is not None:
                self._cancel(live.writing, "left")

    async def drain(self, seconds: float) -> None:
        """Let the answers that are being written end, for so long at most; those that wait are not begun."""
        self._ending = True
        if self.running:
            await asyncio.wait(set(self.running), timeout=seconds)

    async def close(self) -> None:
        """End every answer and wait until what there is of each is stored."""
        for live in tuple(self._open.values()):
            if live.writing is not None:
                self._cancel(live.writing, "left")
        await asyncio.gather(*self.running, return_exceptions=True)

    # ------------------------------------------------------------ answers

    def _check(self, live: Live, text: str) -> None:
        if live.writing is not None:
            raise RefusedError("busy", "an answer is being written: stop it first, or wait for its end")
        if self.rules.find(text) is not None:
            raise RefusedError("refused", "this cannot be said here")

    def _plan(self, live: Live, user: str, messages: Sequence[Stored], identity: str = "") -> None:
        """An answer to the last of these messages, for which there is room in the context and in the queue."""
        try:
            context = fit([Turn(each.role, each.text) for each in messages], self.backend.budget, self.backend.count)
        except TooLongError as error:
            raise RefusedError("too_long", str(error)) from None
        writing = Writing(identity or secrets.token_urlsafe(12), live, user, context.turns)
        try:
            self.queue.push(user, writing)
        except FullError:
            wait = math.ceil(self.seconds * (1 + len(self.queue) / self.backend.at_once))
            raise RefusedError("full", f"too many answers are waited for: come back in {wait} s") from None
        live.writing = writing

    def _begin(self) -> None:
        """Start what can be started, and tell the others their places."""
        while self.queue and not self._ending and len(self.running) < self.backend.at_once:
            task = asyncio.create_task(self._write(self.queue.pop()))
            self.running.add(task)
            task.add_done_callback(self._ended)
        self._tell_places()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        self._begin()

    async def _write(self, writing: Writing) -> None:
        reason: Reason = "failed"
        begun = asyncio.get_running_loop().time()
        try:
            await self._ensure_numbers(writing.live)
            writing.live.log.append(writing.started)
            reason = await self._read_answer(writing)
        except BackendError:
            reason = writing.reason or "failed"
        except Exception as error:  # a fault of ours ends this answer and no other; the log has no content
            logs.line(logging.ERROR, event="answer failed", **logs.error_fields(error))
        finally:
            await self._finish(writing, reason)
            self.seconds += 0.1 * (asyncio.get_running_loop().time() - begun - self.seconds)

    async def _read_answer(self, writing: Writing) -> Reason:
        writing.answering = self.backend.answer(writing.turns)
        if writing.reason is not None:  # it was cancelled while its numbers were fetched
            writing.answering.cancel()
        moderated = Moderated(self.rules)
        async for piece in writing.answering:
            writing.show(moderated.push(piece))
            if moderated.stopped:
                writing.answering.cancel()
                return "filtered"
        writing.show(moderated.finish())
        if moderated.stopped:
            return "filtered"
        return writing.reason or writing.answering.finish or "failed"

    async def _finish(self, writing: Writing, reason: Reason) -> None:
        live = writing.live
        kept = None
        if writing.text:
            kept = Stored(id=writing.id, role="assistant", text=writing.text, created=datetime.now(UTC), reason=reason)
            try:
                await self.store.add(live.id, kept)
                live.messages.append(kept)
            except Exception as error:  # the place must be free all the same; what was not stored is not called stored
                if not isinstance(error, GoneError):  # the conversation was deleted meanwhile
                    logs.line(logging.ERROR, event="answer not stored", **logs.error_fields(error))
                kept, reason = None, "failed"
        live.writing = None
        live.log.append(partial(writing.done, reason, kept))
        self._let_go(live)

    def _cancel(self, writing: Writing, reason: Reason) -> None:
        if self.queue.remove(writing):
            writing.reason = reason
            task = asyncio.create_task(self._finish(writing, reason))
            self.running.add(task)
            task.add_done_callback(self._ended)
            self._tell_places()
        else:
            writing.cancel(reason)

    def _left(self, live: Live) -> None:
        live.leaving = None
        if live.writing is not None and not live.listeners:
            self._cancel(live.writing, "left")

    def _tell_places(self) -> None:
        for place, writing in enumerate(self.queue.in_order(), start=1):
            writing.live.tell(protocol.Waiting(conversation=writing.live.id, answer=writing.id, place=place))

    # ------------------------------------------------------------ the store

    async def _live(self, user: str, conversation: str) -> Live:
        """The open conversation, if it is the user's."""
        messages = await self.store.messages(user, conversation)  # asked each time: it may have been deleted
        if messages is None:
            raise GoneError
        async with self._opening:
            if conversation not in self._open:
                first = await self.store.reserve(conversation, RESERVED)
                messages = await self.store.messages(user, conversation) or []
                live = Live(conversation, messages, EventLog(seq=first), first + RESERVED)
                live.log.listeners.append(live.tell)
                self._open[conversation] = live
            return self._open[conversation]

    @asynccontextmanager
    async def _used(self, user: str, conversation: str) -> AsyncIterator[Live]:
        """The open conversation, which stays the one that is open, though its pages leave meanwhile."""
        with gone_refused():
            live = await self._live(user, conversation)
            live.used += 1
            try:
                yield live
            finally:
                live.used -= 1
                self._let_go(live)

    @asynccontextmanager
    async def _changing(self, user: str, conversation: str) -> AsyncIterator[Live]:
        """The open conversation, which nobody else changes."""
        with failure_refused():
            async with self._used(user, conversation) as live, live.changing:
                yield live

    def _let_go(self, live: Live) -> None:
        """Where nobody listens, an answer goes on for a while, and what is not used is open no more."""
        if live.listeners or live.used or self._open.get(live.id) is not live:
            return
        if live.writing is None:
            del self._open[live.id]
        elif live.leaving is None:
            live.leaving = asyncio.get_running_loop().call_later(self.grace, self._left, live)

    async def _ensure_numbers(self, live: Live) -> None:
        if live.numbers - live.log.seq < LEAST_LEFT:
            first = await self.store.reserve(live.id, RESERVED)
            assert first == live.numbers, "one process has a conversation open"
            live.numbers = first + RESERVED

    async def _keep(self, live: Live, message: Stored) -> None:
        await self._stored(live, self.store.add(live.id, message))
        live.say(message)

    async def _remove(self, live: Live, message: str, instead: Stored | None = None) -> None:
        removed = await self._stored(live, self.store.remove_from(live.id, message, instead))
        live.messages = [each for each in live.messages if each.id not in removed]
        live.log.append(lambda seq: protocol.RemovedEvent(conversation=live.id, seq=seq, messages=tuple(removed)))
        if instead is not None:
            live.say(instead)

    async def _stored(self, live: Live, change: Awaitable[Changed]) -> Changed:
        """A change of the store; if it fails, the answer that was planned is not waited for."""
        try:
            return await change
        except BaseException:  # cancelled, too: the place in the queue must not be kept for nobody
            if live.writing is not None:
                self.queue.remove(live.writing)
                live.writing = None
            raise
