"""Many requests on one model: each joins the running batch as soon as a row is free, and leaves it when it has ended.

`Scheduler` is the order of things and knows no model: it asks a `Rows` to read and to step, and is tested with one
that only counts. `EngineRows` is that of an engine. One thread turns it; `Answer.cancel` may come from any.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from shared.engine.generation import Answer, Request
from shared.engine.model import CHUNK, Engine
from shared.errors import UserError


class BusyError(UserError):
    """As many requests wait as may wait: ask again later (a service answers 503)."""


class Job(Protocol):
    """What the scheduler knows of an answer (`shared.engine.generation.Answer`)."""

    prompt: list[int]
    ids: list[int]
    finish: Any
    error: Exception | None

    @property
    def most_tokens(self) -> int:
        """Tokens of prompt and answer at most."""

    @property
    def cancelled(self) -> bool:
        """Whether it is to end now."""

    def advance(self, logits: Any) -> str:
        """Choose the next token."""


class Rows(Protocol):
    """The places of a batch, numbered from 0; the occupied ones are always the first."""

    @property
    def capacity(self) -> int:
        """Tokens for which a row has room."""

    def begin(self, row: int, job: Any) -> None:
        """Let an empty row be that of a job."""

    def read(self, row: int, ids: list[int]) -> Float[np.ndarray, " v"]:
        """Append tokens to a row; logits of what follows the last."""

    def step(self, ids: list[int]) -> Float[np.ndarray, "b v"]:
        """Append one token to each of the first rows."""

    def move(self, source: int, target: int) -> None:
        """Let `target` become what `source` is."""

    def clear(self, row: int) -> None:
        """Forget a row."""


@dataclass
class Scheduler:
    """First come, first served; everybody who runs gets one token a turn.

    A prompt is read in chunks, one a turn, so that a long one delays the others by a chunk and not by its length.

    Attributes:
        rows: Where the requests are computed.
        size: Requests that run at once.
        waiting_limit: Requests that may wait for a row.
    """

    rows: Rows
    size: int
    waiting_limit: int = 64
    running: list[Job] = field(default_factory=list)
    reading: Job | None = None
    waiting: deque[Job] = field(default_factory=deque)
    _unread: list[int] = field(default_factory=list)

    def submit(self, job: Job) -> None:
        """Let a request wait for a row.

        Raises:
            BusyError: If `waiting_limit` requests wait.
            UserError: If it may become longer than a row.
        """
        if job.most_tokens > self.rows.capacity:
            raise UserError(f"{job.most_tokens} tokens of prompt and answer: there is room for {self.rows.capacity}")
        if len(self.waiting) >= self.waiting_limit:
            raise BusyError(f"{len(self.waiting)} requests wait already")
        self.waiting.append(job)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.running or self.reading or self.waiting)

    def turn(self) -> list[tuple[Job, str]]:
        """One token for all that run, then one chunk of the prompt that joins.

        Returns:
            Jobs that have a new token or have ended, each with the text that may be shown now.
        """
        news: list[tuple[Job, str]] = [(job, "") for job in self._drop_cancelled()]
        if self.running:
            logits = self.rows.step([job.ids[-1] for job in self.running])
            news += [(job, _advance(job, row)) for job, row in zip(self.running, logits, strict=True)]
        if self.reading is None and self.waiting and len(self.running) < self.size:
            self.reading = self.waiting.popleft()
            self._unread = list(self.reading.prompt)
            self.rows.begin(len(self.running), self.reading)
        if self.reading is not None:
            news += self._read_chunk(self.reading)
        for index in reversed(range(len(self.running))):
            if self.running[index].finish:
                self._leave(index)
        return news

    def _read_chunk(self, job: Job) -> list[tuple[Job, str]]:
        logits = self.rows.read(len(self.running), self._unread[:CHUNK])
        self._unread = self._unread[CHUNK:]
        if self._unread:
            return []
        self.running.append(job)
        self.reading = None
        return [(job, _advance(job, logits))]

    def _drop_cancelled(self) -> list[Job]:
        dropped = [job for job in self.waiting if job.cancelled]
        self.waiting = deque(job for job in self.waiting if job not in dropped)
        if self.reading is not None and self.reading.cancelled:
            dropped.append(self.reading)
            self.reading = None
            self.rows.clear(len(self.running))
        for index in reversed(range(len(self.running))):
            if self.running[index].cancelled:
                dropped.append(self.running[index])
                self._leave(index)
        return dropped

    def _leave(self, index: int) -> None:
        """The last that runs takes the place of the one that leaves, and the one that reads takes the last's."""
        last = len(self.running) - 1
        self.rows.clear(index)
        if index < last:
            self.rows.move(last, index)
            self.running[index] = self.running[last]
        self.running.pop()
        if self.reading is not None:
            self.rows.move(last + 1, last)


def _advance(job: Job, logits: Any) -> str:
    try:
        return job.advance(logits)
    except Exception as error:  # of the request's own code (`change_logits`): it ends this request and no other
        job.error, job.finish = error, "error"
        return ""


class EngineRows:
    """Rows of an engine's cache.

    Attributes:
        cache: With room for `capacity` tokens in each row.
    """

    def __init__(self, engine: Engine, *, size: int, capacity: int) -> None:
        self._engine = engine
        self.cache = engine.new_cache(capacity, rows=size)

    @property
    def capacity(self) -> int:
        """Tokens for which a row has room."""
        return self.cache.capacity

    def begin(self, row: int, job: Answer) -> None:
        """Let an empty row be computed with what the answer's request adds to the model."""
        self.cache.steer(row, job.request.steering)

    def read(self, row: int, ids: list[int]) -> Float[np.ndarray, " v"]:
        """Append tokens to a row; logits of what follows the last."""
        return self._engine.read(self.cache, row, ids)[0]

    def step(self, ids: list[int]) -> Float[np.ndarray, "b v"]:
        """Append one token to each of the first rows."""
        return self._engine.step(self.cache, np.array(ids))

    def move(self, source: int, target: int) -> None:
        """Let `target` become what `source` is."""
        self.cache.move(source, target)

    def clear(self, row: int) -> None:
        """Forget a row."""
        self.cache.rewind(row, 0)


def generate(engine: Engine, requests: Sequence[Request], *, size: int = 16) -> list[Answer]:
    """Answer requests of any lengths in batches of at most `size`; answers in the order of the requests.

    The cache has room for the longest of them in each row. What a request's `change_logits` raises is raised here.
    """
    answers = [Answer(engine, request) for request in requests]
    if not answers:
        return []
    rows = min(size, len(answers))
    places = EngineRows(engine, size=rows, capacity=max(answer.most_tokens for answer in answers))
    scheduler = Scheduler(places, size=rows, waiting_limit=len(answers))
    for answer in answers:
        scheduler.submit(answer)
    while not scheduler.idle:
        for job, _ in scheduler.turn():
            if job.error:
                raise job.error
    return answers
