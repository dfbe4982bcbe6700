"""Requests join and leave a running batch: each gets its own tokens, in fair turns, within bounds."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.engine import BusyError, EngineRows, Request, Sampling, Scheduler, generate, stream
from shared.engine.model import CHUNK
from shared.errors import UserError

VOCAB = 97


def follows(tokens):
    """The token that follows a text: depends on all of it, so that a row mixed up with another is noticed."""
    return sum((i + 1) * token for i, token in enumerate(tokens)) % VOCAB


class CountingRows:
    """Rows that hold lists; they refuse what the engine could not do."""

    capacity = 10_000

    def __init__(self, size):
        self.texts, self.calls = [[] for _ in range(size)], []

    def begin(self, row, job):
        assert not self.texts[row], "another text is in the row"

    def read(self, row, ids):
        assert 0 < len(ids) <= CHUNK
        self.texts[row] += ids
        self.calls.append(("read", len(ids)))
        return self._logits(row)

    def step(self, ids):
        for row, token in enumerate(ids):
            assert self.texts[row], "an empty row among the first"
            self.texts[row].append(token)
        self.calls.append(("step", len(ids)))
        return np.stack([self._logits(row) for row in range(len(ids))])

    def move(self, source, target):
        assert source != target and not self.texts[target]
        self.texts[target], self.texts[source] = self.texts[source], []

    def clear(self, row):
        self.texts[row] = []

    def _logits(self, row):
        return np.eye(VOCAB)[follows(self.texts[row])]


@dataclass(eq=False)
class Counted:
    """A request that ends after some tokens, or is cancelled at some turn."""

    prompt: list
    max_tokens: int = 5
    ids: list = field(default_factory=list)
    finish: str | None = None
    stopped: bool = False
    error: Exception | None = None

    @property
    def most_tokens(self):
        return len(self.prompt) + self.max_tokens

    @property
    def cancelled(self):
        if self.stopped:
            self.finish = self.finish or "cancelled"
        return self.stopped

    def advance(self, logits):
        self.ids.append(int(logits.argmax()))
        if len(self.ids) == self.max_tokens:
            self.finish = "length"
        return "."

    @property
    def alone(self):
        """The answer that it would get alone."""
        text = list(self.prompt)
        for _ in range(self.max_tokens):
            text.append(follows(text))
        return text[len(self.prompt) :]


prompts = st.integers(1, 3 * CHUNK).flatmap(lambda n: st.integers(0, 96).map(lambda first: [first, *range(1, n)]))
jobs = st.tuples(prompts, st.integers(1, 6), st.integers(0, 8), st.none() | st.integers(0, 12))


@settings(deadline=None)
@given(st.lists(jobs, max_size=8), st.integers(1, 4))
def test_everybody_gets_the_answer_that_he_would_get_alone(arrivals, size):
    """Whenever requests come, end or are cancelled."""
    scheduler = Scheduler(CountingRows(size), size=size)
    all_jobs = [(Counted(prompt, most), arrival, end) for prompt, most, arrival, end in arrivals]
    ended = []
    for turn in range(200):
        for job, arrival, end in all_jobs:
            if arrival == turn:
                scheduler.submit(job)
            if end is not None and end == turn:
                job.stopped = True
        running = list(scheduler.running)
        lengths = [len(job.ids) for job in running]
        news = scheduler.turn()
        assert len(scheduler.running) + (scheduler.reading is not None) <= size
        for job, before in zip(running, lengths, strict=True):  # one token a turn for everybody
            assert len(job.ids) == before + 1 or job.finish == "cancelled"
        ended += [job for job, _ in news if job.finish]
    assert scheduler.idle and not any(scheduler.rows.texts)
    assert {id(job) for job in ended} == {id(job) for job, *_ in all_jobs} and len(ended) == len(all_jobs)
    for job, *_ in all_jobs:
        assert job.ids == job.alone[: len(job.ids)]
        assert (len(job.ids) == job.max_tokens) == (job.finish == "length")


def test_a_request_joins_while_others_run_and_takes_the_place_of_one_that_ends():
    scheduler = Scheduler(CountingRows(2), size=2)
    long, short, late = Counted([1], 9), Counted([2], 2), Counted([3], 2)
    for job in (long, short, late):
        scheduler.submit(job)
    seen = []
    while not scheduler.idle:
        scheduler.turn()
        seen.append([len(job.ids) for job in (long, short, late)])
    assert seen[:5] == [[1, 0, 0], [2, 1, 0], [3, 2, 0], [4, 2, 1], [5, 2, 2]]


def test_a_long_prompt_delays_the_others_by_a_chunk_a_turn():
    scheduler = Scheduler(CountingRows(2), size=2)
    scheduler.submit(Counted([1], 9))
    scheduler.turn()
    scheduler.submit(Counted([2] * (2 * CHUNK + 5), 3))
    del scheduler.rows.calls[:]
    for _ in range(4):
        scheduler.turn()
    assert scheduler.rows.calls == [
        ("step", 1), ("read", CHUNK), ("step", 1), ("read", CHUNK), ("step", 1), ("read", 5), ("step", 2),
    ]  # fmt: skip


def test_first_come_first_served():
    scheduler = Scheduler(CountingRows(1), size=1)
    order = [Counted([i], 1) for i in range(5)]
    for job in order:
        scheduler.submit(job)
    assert [job for _ in order for job, _ in scheduler.turn()] == order


def test_a_cancelled_request_is_computed_no_further():
    scheduler = Scheduler(CountingRows(2), size=2)
    job = Counted([1], 100)
    scheduler.submit(job)
    scheduler.turn()
    scheduler.turn()
    job.stopped = True
    calls = len(scheduler.rows.calls)
    assert scheduler.turn() == [(job, "")] and len(scheduler.rows.calls) == calls and scheduler.idle


def test_an_error_in_a_request_ends_this_one_and_no_other():
    class Failing(Counted):
        def advance(self, logits):
            if len(self.ids) == 2:
                raise ZeroDivisionError
            return super().advance(logits)

    scheduler = Scheduler(CountingRows(2), size=2)
    others, failing = [Counted([i], 6) for i in (1, 3)], Failing([2], 6)
    for job in (others[0], failing, others[1]):
        scheduler.submit(job)
    ended = []
    while not scheduler.idle:
        ended += [job for job, _ in scheduler.turn() if job.finish]
    assert failing.finish == "error" and isinstance(failing.error, ZeroDivisionError) and failing in ended
    assert all(job.ids == job.alone and job.finish == "length" for job in others)


def test_more_than_may_wait_and_longer_than_a_row_are_refused():
    scheduler = Scheduler(CountingRows(1), size=1, waiting_limit=2)
    for _ in range(2):
        scheduler.submit(Counted([1]))
    with pytest.raises(BusyError, match="2 requests wait already"):
        scheduler.submit(Counted([1]))
    scheduler.waiting.clear()
    with pytest.raises(UserError, match="10005 tokens of prompt and answer: there is room for 10000"):
        scheduler.submit(Counted([1] * 10_000))


# ---------------------------------------------------------------- on the engine


@pytest.mark.timeout(300)  # the first test that asks for a graph builds it
def test_a_batch_of_unequal_lengths_answers_each_as_alone(tiny):
    rng = np.random.default_rng(3)
    lengths, most = (1, 40, CHUNK + 9, 7, 3, 90), (9, 3, 6, 12, 1, 5)
    requests = [
        Request(
            prompt=rng.integers(3, 49152, length).tolist(),
            max_tokens=tokens,
            sampling=Sampling(temperature=0.7 * (i % 2), top_k=40, seed=i),
        )
        for i, (length, tokens) in enumerate(zip(lengths, most, strict=True))
    ]
    alone = []
    for request in requests:
        reading = stream(tiny, request)
        alone.append(("".join(reading), reading.answer.ids, reading.answer.finish))
    answers = generate(tiny, requests, size=3)
    assert [(answer.text, answer.ids, answer.finish) for answer in answers] == alone
    assert generate(tiny, []) == []


@pytest.mark.timeout(300)
def test_what_a_change_of_logits_raises_is_raised_by_generate(tiny):
    def broken(_, __):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate(tiny, [Request(prompt=[5]), Request(prompt=[6], change_logits=broken)])


@pytest.mark.timeout(300)
def test_rows_of_one_cache_do_not_touch_each_other(tiny):
    places = EngineRows(tiny, size=3, capacity=30)
    texts = [[5, 6, 7], [8, 9, 10, 11, 12], [13]]
    for row, ids in enumerate(texts):
        places.read(row, ids)
    places.clear(0)
    places.move(2, 0)
    logits = places.step([20, 21])
    for row, ids in enumerate(([13, 20], [8, 9, 10, 11, 12, 21])):
        np.testing.assert_allclose(logits[row], tiny.score(ids)[-1], atol=1e-4 * np.abs(logits).max())
