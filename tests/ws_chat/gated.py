"""A backend that says as many pieces as a test lets it: how quick the machine is decides nothing."""

import asyncio
from dataclasses import dataclass

from projects.ws_chat.backends.scripted import Scripted, ScriptedAnswer


@dataclass
class Gated(Scripted):
    """Attributes:
    allowed: Pieces that may still be said, the end of an answer counting as one.
    """

    allowed: int = 0

    def answer(self, turns):
        return GatedAnswer(self, iter(self.script(turns)))


class GatedAnswer(ScriptedAnswer):
    async def _cancelled_within(self, seconds):
        while not (self.backend.allowed or self.cancelled.is_set()):
            await asyncio.sleep(0.001)
        if self.cancelled.is_set():
            return True
        self.backend.allowed -= 1
        return await super()._cancelled_within(seconds)
