"""A model of tests and load: it says what a function gives, a piece each so many seconds, and counts its pieces."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from projects.ws_chat.backends.backend import BackendError, Finish
from projects.ws_chat.context import Turn

Script = Callable[[Sequence[Turn]], Iterable[str]]


def echo(turns: Sequence[Turn]) -> list[str]:
    """Says the last message again, word by word."""
    words = turns[-1].text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)]


def clock(turns: Sequence[Turn]) -> Iterator[str]:
    """Says the time in nanoseconds, as often as it is told: whoever hears it knows how late it is."""
    for _ in range(min(10_000, int(turns[-1].text) if turns[-1].text.isdecimal() else 1)):
        yield str(time.monotonic_ns())


@dataclass
class Scripted:
    """A backend without a model.

    Attributes:
        script: The pieces of an answer.
        seconds: Before each piece.
        fails_after: Pieces after which it fails; None never.
    """

    script: Script = echo
    seconds: float = 0.0
    fails_after: int | None = None
    budget: int = 2_000
    at_once: int = 4
    computed: int = 0
    running: set["ScriptedAnswer"] = field(default_factory=set)

    def count(self, turns: Sequence[Turn]) -> int:
        """Words, and four for each turn."""
        return sum(4 + len(turn.text.split()) for turn in turns)

    def answer(self, turns: Sequence[Turn]) -> "ScriptedAnswer":
        """Begin an answer."""
        return ScriptedAnswer(self, iter(self.script(turns)))

    async def close(self) -> None:
        """Cancel all answers."""
        for answer in list(self.running):
            answer.cancel()


@dataclass(eq=False)
class ScriptedAnswer:
    """An answer of a script."""

    backend: Scripted
    pieces: Iterator[str]
    finish: Finish | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The pieces, each after its time."""
        self.backend.running.add(self)
        try:
            place = 0
            while not await self._cancelled_within(self.backend.seconds):
                if place == self.backend.fails_after:
                    raise BackendError("the script says that it fails here")
                piece = next(self.pieces, None)  # a clock must not be read before its time
                if piece is None:
                    self.finish = "end"
                    return
                self.backend.computed += 1
                yield piece
                place += 1
        finally:
            self.backend.running.discard(self)

    def cancel(self) -> None:
        """Say nothing more."""
        self.cancelled.set()

    async def _cancelled_within(self, seconds: float) -> bool:
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.cancelled.wait(), seconds)
        else:
            await asyncio.sleep(0)
        return self.cancelled.is_set()
