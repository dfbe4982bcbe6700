"""The monitor over HTTP at its capacity and at twice of it: what is taken, what is refused, how long it takes, memory.

Each worker pushes batches of points into a series of its own. Capacity is what a few workers get that push again as
soon as they are answered; then pushes come at a pace that does not wait for answers (an open loop), and latency counts
from when a push was due.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from projects.ts_anomaly.server.settings import PREFIX
from shared.errors import UserError
from shared.lab.load import Ask, Line, closed, paced, quantile
from shared.web.launch import Running, running

BATCH = 256  # points of a push
FULL = 11  # pushes after which a series keeps as many points as it ever will
LIMIT = 10  # requests a second of an address, in the last row
WORKERS = 32  # that wait for answers at most; the server lets 16 pushes wait
CLOSED = 4  # workers that find the capacity


@dataclass
class Worker:
    """One connection, one series.

    Attributes:
        url: Address of the server.
        name: Which series is its own.
        counts: Answers by status; 0 where there was none.
        seconds: Latencies of the pushes that were taken.
    """

    url: str
    name: str
    at: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Connect when first needed."""
        self._line = Line(self.url)
        self._random = np.random.default_rng(sum(map(ord, self.name)))

    def push(self, due: float) -> None:
        """The next points; `due` is when they should have been sent."""
        values = np.sin(np.arange(self.at, self.at + BATCH) / 10) + 0.1 * self._random.standard_normal(BATCH)
        lines = [f"{60 * (self.at + n)},{value:.4f}" for n, value in enumerate(values)]
        body, path = "\n".join(["t,v", *lines]), f"/v1/series/{self.name}/csv"
        status, _ = self._line.send("POST", path, body, {"Content-Type": "text/csv"})
        self.counts[status] = self.counts.get(status, 0) + 1
        if status == 200:
            self.seconds.append(time.perf_counter() - due)
            self.at += BATCH

    def close(self) -> None:
        """Hang up; the next push connects again."""
        self._line.close()


def rows(model: Path, seconds: float = 15.0, long: float = 300.0) -> list[dict[str, Any]]:
    """Capacity; the same pace and twice the pace without waiting, the latter once more for long; and twice with the
    limit that an address has.
    """
    told = []
    with TemporaryDirectory() as folder:
        options = {"model": model, "data": Path(folder) / "a", "rate": 100_000}
        with running("projects.ts_anomaly.server", PREFIX, options) as server:
            workers = [Worker(server.url, f"s{n}") for n in range(WORKERS)]
            _filled(workers)
            capacity = _measured("as fast as answered", server, workers[:CLOSED], partial(closed, seconds=seconds))
            told.append(capacity)
            for times, lasting, name in (
                (1, seconds, "at capacity"),
                (2, seconds, "at twice the capacity"),
                (2, long, f"at twice the capacity, {long:.0f} seconds"),
            ):
                gaps = itertools.repeat(BATCH / (times * float(capacity["taken"])))
                told.append(_measured(name, server, workers, partial(paced, gaps=gaps, seconds=lasting)))
        with running("projects.ts_anomaly.server", PREFIX, {**options, "rate": LIMIT}) as server:  # it goes on
            workers = [Worker(server.url, each.name, each.at) for each in workers]
            name = f"at twice the capacity, {LIMIT} requests a second allowed"
            told.append(_measured(name, server, workers, partial(paced, gaps=gaps, seconds=seconds)))
    return told


def _filled(workers: list[Worker]) -> None:
    """All that a series keeps is there, so that memory that grows from here on would grow for ever."""
    for worker in workers:
        for _ in range(FULL):
            worker.push(time.perf_counter())


def _measured(what: str, server: Running, workers: list[Worker], load: Callable[[list[Ask]], float]) -> dict[str, Any]:
    for worker in workers:
        worker.counts, worker.seconds = {}, []
    before = server.resident_mb()
    took = load([worker.push for worker in workers])
    for worker in workers:
        worker.close()
    counts = {status: sum(worker.counts.get(status, 0) for worker in workers) for status in (200, 429, 503)}
    every = sum(sum(worker.counts.values()) for worker in workers)
    seconds = [second for worker in workers for second in worker.seconds]
    if not seconds:
        raise UserError(f"no push was taken {what}: {server.said().strip().splitlines()[-1:]}")
    return {
        "what": what,
        "pushed": round(BATCH * every / took),
        "taken": round(BATCH * counts[200] / took),
        "refused_429": round(counts[429] / every, 4),
        "refused_503": round(counts[503] / every, 4),
        "other": every - sum(counts.values()),
        "median_ms": quantile(seconds, 0.5),
        "p99_ms": quantile(seconds, 0.99),
        "memory_mb": round(server.resident_mb(), 1),
        "grown_mb": round(server.resident_mb() - before, 1),
    }
