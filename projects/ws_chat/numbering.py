"""The events of one conversation: numbered without gaps, kept for those who come back, sent to those who listen.

A page that knows event n and comes back gets n + 1, n + 2, … or learns that it needs a snapshot. Nothing here waits and
nothing here knows a socket, so that every property can be tested by counting.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from projects.ws_chat.protocol import Numbered

Listener = Callable[[Numbered], None]
"""Takes an event at once, or puts it where it will be sent from; never waits."""


@dataclass
class EventLog:
    """The last events of a conversation.

    Attributes:
        seq: Number of the last event; those of a process that was killed are below it.
        kept: Events that are kept for those who come back.
        events: The last of them, oldest first.
        listeners: Who gets what comes.
    """

    seq: int = 0
    kept: int = 2_000
    events: deque[Numbered] = field(default_factory=deque)
    listeners: list[Listener] = field(default_factory=list)

    def append(self, make: Callable[[int], Numbered]) -> Numbered:
        """Give the next event its number, keep it, and let everybody have it."""
        event = make(self.seq + 1)
        assert event.seq == self.seq + 1
        self.seq = event.seq
        self.events.append(event)
        if len(self.events) > self.kept:
            self.events.popleft()
        for listener in tuple(self.listeners):
            listener(event)
        return event

    def since(self, after: int) -> list[Numbered] | None:
        """All events after a number; None if some of them are not kept, or the number is not of this log."""
        first = self.seq - len(self.events)  # the number before the oldest that is kept
        if not first <= after <= self.seq:
            return None
        return list(self.events)[after - first :]
