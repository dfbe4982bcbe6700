"""Texts of many requests in one batch of the model: one thread computes, and what waits is bounded."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from shared.web.problems import BusyError

FILES, UPDATES = 0.5, 0.75
"""Share of what may wait that work without a person at a screen fills."""


@dataclass
class _Waiting:
    text: Any
    done: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class TextQueue:
    """Takes texts one by one and gives each its result.

    Args:
        work: From texts to as many results; runs in a thread of its own, one call at a time.
        at_once: Texts of a call, at most.
        waiting: Texts that may wait.
    """

    def __init__(self, work: Callable[[list[Any]], Sequence[Any]], *, at_once: int, waiting: int) -> None:
        self._work, self._at_once, self._most = work, at_once, waiting
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._task: asyncio.Task[None] | None = None
        self._seconds = 0.05  # of a text, as it goes

    @property
    def depth(self) -> int:
        """Texts that wait."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish what waits, and end."""
        while self._queue:
            await asyncio.sleep(0.01)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    async def submit(self, texts: Sequence[Any]) -> list[Any]:
        """Results of texts, in their order; all are taken or none.

        Raises:
            BusyError: If they do not fit into what may wait.
        """
        if len(self._queue) + len(texts) > self._most:
            raise BusyError("too many articles wait", len(self._queue) * self._seconds)
        own = [_Waiting(text) for text in texts]
        self._queue.extend(own)
        self._wake.set()
        try:
            return list(await asyncio.gather(*(each.done for each in own)))
        finally:
            for each in own:
                each.done.cancel()  # of who has left nothing is computed any more

    async def when_free(self, texts: Sequence[Any], share: float = FILES) -> list[Any]:
        """As `submit`, but waits for room, and takes the texts part by part.

        Args:
            share: Part of what may wait, beyond which nothing is added: files leave room for an update, and both leave
                some for people.
        """
        room = max(1, int(self._most * share))
        size = min(room, self._at_once)
        found: list[Any] = []
        for start in range(0, len(texts), size):
            part = texts[start : start + size]
            while len(self._queue) + len(part) > room:
                await asyncio.sleep(0.05)
            found += await self.submit(part)
        return found

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._next():
                begun = monotonic()
                try:
                    found = await loop.run_in_executor(self._thread, self._work, [each.text for each in batch])
                except Exception as error:  # whatever the model raises: those who wait hear it, and the queue goes on
                    for each in batch:
                        if not each.done.done():
                            each.done.set_exception(error)
                    continue
                self._seconds += 0.1 * ((monotonic() - begun) / len(batch) - self._seconds)
                for each, result in zip(batch, found, strict=True):
                    if not each.done.done():
                        each.done.set_result(result)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._at_once:
            each = self._queue.popleft()
            if not each.done.done():
                batch.append(each)
        return batch
