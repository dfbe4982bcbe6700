"""Requests that wait are run together: a bounded queue, a budget for each batch, one worker thread a model.

A batch takes what waits when the model becomes free and never waits for more: an idle server adds no delay, and the
busier it is the larger its batches are.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, runtime_checkable

LOG = logging.getLogger(__name__)
SMOOTHING = 0.2  # weight of the last batch in the running mean of seconds a request


@runtime_checkable
class Work(Protocol):
    """Work of a request for a model."""

    @property
    def rows(self) -> int:
        """Rows that it adds to a batch."""
        ...

    @property
    def tokens(self) -> int:
        """Tokens of its longest row."""
        ...


Item = TypeVar("Item", bound=Work)
Result = TypeVar("Result")


class OverloadedError(Exception):
    """The queue is full.

    Attributes:
        retry_after: Seconds after which there should be room again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True)
class BatchStats:
    """Numbers of a batch, for the metrics.

    Attributes:
        requests: How many it held.
        seconds: How long it took.
        waited: Seconds that each request was in the queue.
    """

    requests: int
    seconds: float
    waited: list[float]


@dataclass
class _Job(Generic[Item, Result]):
    item: Item
    rows: int
    tokens: int
    answer: asyncio.Future[Result]
    since: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """A bounded queue before a model; an async context manager, which lets what waits finish when it is left.

    Args:
        run: Computes a batch, in the worker thread; one result an item, in order.
        rows: Requests that one batch may hold.
        budget: Padded tokens that one batch may hold; an item that alone exceeds it goes alone.
        waiting: Items that may wait.
        observe: Told of each batch.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        rows: int,
        budget: int,
        waiting: int,
        observe: Callable[[BatchStats], None] = lambda _: None,
    ) -> None:
        self._run, self._rows, self._budget, self._limit, self._observe = run, rows, budget, waiting, observe
        self._queue: deque[_Job[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._seconds_each = 0.0
        self._worker = ThreadPoolExecutor(max_workers=1)

    async def __aenter__(self) -> "Batcher[Item, Result]":
        self._task = asyncio.create_task(self._loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._arrived.set()
        await self._task
        self._worker.shutdown()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return sum(not job.answer.done() for job in self._queue)

    async def submit(self, item: Item) -> Result:
        """The item's result; if the caller is cancelled while it waits, its place is free again.

        Raises:
            OverloadedError: If the queue is full, or the server is stopping.
            Exception: What `run` raised for this very item; RuntimeError if it gave another number of results.
        """
        if self._closing or self.depth >= self._limit:
            raise OverloadedError(self.retry_after())
        future = asyncio.get_running_loop().create_future()
        job: _Job[Item, Result] = _Job(
            item, item.rows, item.tokens, future
        )  # read here, where an error is the caller's
        self._queue.append(job)
        self._arrived.set()
        return await job.answer

    def retry_after(self) -> int:
        """Whole seconds in which the queue should be done with what it holds, at least 1."""
        return max(1, math.ceil(self.depth * self._seconds_each))

    async def _loop(self) -> None:
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._next_batch()
            if batch:
                await self._compute(batch)

    def _next_batch(self) -> list[_Job[Item, Result]]:
        """The oldest jobs that somebody waits for, as many as fit; in the order they came, so that none starves."""
        batch: list[_Job[Item, Result]] = []
        rows = longest = 0
        while self._queue:
            job = self._queue[0]
            if job.answer.done():  # its client left
                self._queue.popleft()
                continue
            rows, longest = rows + job.rows, max(longest, job.tokens)
            if batch and (len(batch) == self._rows or rows * longest > self._budget):
                break
            batch.append(self._queue.popleft())
        return batch

    async def _compute(self, batch: list[_Job[Item, Result]]) -> None:
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._worker, self._results, [job.item for job in batch])
        except Exception as error:  # whatever a model raises: it must reach its request and nobody else's
            if len(batch) > 1:
                for job in batch:
                    await self._compute([job])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for job, result in zip(batch, results, strict=True):
            with suppress(asyncio.InvalidStateError):  # cancelled meanwhile: its client left
                job.answer.set_result(result)
        self._record(batch, started)

    def _results(self, items: list[Item]) -> list[Result]:
        """One result an item, in the worker thread; what goes wrong there is an error that a future can carry.

        A StopIteration would leave the loop's future without an answer for ever, and what is no Exception end the loop.
        """
        try:
            results = list(self._run(items))
        except BaseException as error:  # what no future can carry becomes what one can
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                raise
            raise RuntimeError(f"the model stopped with {error!r}") from error
        if len(results) != len(items):
            raise RuntimeError(f"the model gave {len(results)} results for {len(items)} requests")
        return results

    def _record(self, batch: list[_Job[Item, Result]], started: float) -> None:
        """Count the batch for `retry_after` and for whoever observes; an observer that fails costs no request."""
        seconds = time.monotonic() - started
        each = seconds / len(batch)
        self._seconds_each += SMOOTHING * (each - self._seconds_each) if self._seconds_each else each
        try:
            self._observe(BatchStats(len(batch), seconds, [started - job.since for job in batch]))
        except (Exception, asyncio.CancelledError):  # nothing is awaited here: a cancellation is the observer's own
            LOG.exception("a batch was answered but not observed")
