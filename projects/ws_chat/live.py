"""A conversation that is open: its messages, its events, who listens, and the answer that is being written."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from projects.ws_chat import protocol
from projects.ws_chat.backends.backend import Answering
from projects.ws_chat.context import Turn
from projects.ws_chat.numbering import EventLog
from projects.ws_chat.protocol import Reason, Shown, Stored

Listen = Callable[[Shown], None]
"""Takes a frame at once, or puts it where it will be sent from; never waits."""


@dataclass(eq=False)
class Writing:
    """An answer, waiting or on its way.

    Attributes:
        id: That of the message that it becomes.
        text: What was shown.
        reason: Why it is ended from outside, None as long as it is not.
    """

    id: str
    live: "Live"
    user: str
    turns: tuple[Turn, ...]
    text: str = ""
    answering: Answering | None = None
    reason: Reason | None = None

    def started(self, seq: int) -> protocol.StartedEvent:
        """Its first event."""
        return protocol.StartedEvent(conversation=self.live.id, seq=seq, answer=self.id)

    def token(self, text: str, seq: int) -> protocol.TokenEvent:
        """A piece of it."""
        return protocol.TokenEvent(conversation=self.live.id, seq=seq, answer=self.id, text=text)

    def done(self, reason: Reason, message: Stored | None, seq: int) -> protocol.DoneEvent:
        """Its last event."""
        return protocol.DoneEvent(conversation=self.live.id, seq=seq, answer=self.id, reason=reason, message=message)

    def show(self, text: str) -> None:
        """Add a piece, unless it was ended."""
        if text and self.reason is None:
            self.text += text
            self.live.log.append(partial(self.token, text))

    def cancel(self, reason: Reason) -> None:
        """End it before another token is computed."""
        self.reason = self.reason or reason
        if self.answering is not None:
            self.answering.cancel()


@dataclass(eq=False)
class Live:
    """A conversation that is open.

    Attributes:
        messages: All that is stored, oldest first.
        log: Its events.
        numbers: The last number that is reserved.
        listeners: Pages that show it.
        writing: Its answer, waiting or on its way.
        changing: Held by who changes it.
        used: How many do something with it now, or wait to.
        leaving: Ends the answer that nobody reads.
    """

    id: str
    messages: list[Stored]
    log: EventLog
    numbers: int
    listeners: dict[Listen, str] = field(default_factory=dict)
    writing: Writing | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    used: int = 0
    leaving: asyncio.TimerHandle | None = None

    def tell(self, frame: Shown, *, but: Listen | None = None) -> None:
        """Let every page have a frame."""
        for listen in tuple(self.listeners):
            if listen != but:  # a bound method is another object each time, and equal
                listen(frame)

    def say(self, message: Stored) -> None:
        """Show a message that is stored."""
        self.messages.append(message)
        self.log.append(lambda seq: protocol.MessageEvent(conversation=self.id, seq=seq, message=message))

    def snapshot(self) -> protocol.Snapshot:
        """The conversation as it is."""
        begun = self.writing is not None and self.writing.answering is not None
        writing = protocol.Writing(answer=self.writing.id, text=self.writing.text) if self.writing and begun else None
        return protocol.Snapshot(conversation=self.id, seq=self.log.seq, messages=tuple(self.messages), writing=writing)
