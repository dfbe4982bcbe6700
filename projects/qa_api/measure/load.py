"""Questions from many clients: what is answered, how late, what is refused, and whether memory grows.

Capacity is what a few clients get that ask again as soon as they are answered. Then questions come at a pace that does
not wait for answers (an open loop), and a latency counts from when its question was due. No question comes twice, so
that the cache answers none.
"""

import itertools
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from projects.qa_api.data.documents import introductions
from projects.qa_api.data.examples import fact_examples
from projects.qa_api.measure.clients import SERVER, Line, quantile, served
from shared.web.launch import Running

CLIENTS = 16
CLOSED = 4  # clients that find the capacity
SHARES = {"half the capacity": 0.5, "70 % of the capacity": 0.7}
TWICE = 2.0
WARM = 8  # questions before anything is counted


@dataclass
class Load:
    """What became of the questions of one phase."""

    counts: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, line: Line, question: str, due: float) -> None:
        """One question, due at a time."""
        status, _ = line.send("POST", "/v1/ask", {"question": question})
        with self.lock:
            self.counts[status] += 1
            if status == 200:
                self.seconds.append(time.perf_counter() - due)


def questions() -> Iterator[str]:
    """Questions about facts, in wordings of validation; when all are used, with a number, so that each is new."""
    documents = [each for language in ("en", "es") for each in introductions(language)]
    found = list(dict.fromkeys(each.question for each in fact_examples(documents, "validation")))
    yield from found
    for number in itertools.count(2):
        yield from (f"{each} ({number})" for each in found)


def rows(
    run: Path | None, *, seconds: float = 20.0, soak: float = 0.0, module: str = SERVER, dataset: str = "introductions"
) -> list[dict[str, Any]]:
    """Capacity, two shares of it, and twice of it; `soak` seconds more of the latter for memory."""
    asked = questions() if dataset == "introductions" else (f"What is thing {n}?" for n in itertools.count())
    told = []
    with served(run, module=module, dataset=dataset) as (server, key):
        with closing(Line(server.url, key)) as warm:
            for _ in range(WARM):
                warm.send("POST", "/v1/ask", {"question": next(asked)})
        told.append(_phase("as fast as answered", server, key, CLOSED, partial(_closed, asked=asked, seconds=seconds)))
        capacity = float(told[0]["answered_a_second"])
        phases = [(name, share, CLIENTS, seconds) for name, share in SHARES.items()]
        phases += [("twice the capacity", TWICE, 2 * CLIENTS, seconds)]
        phases += [("twice the capacity, longer", TWICE, 2 * CLIENTS, soak)]
        for name, share, clients, length in phases:
            if length:
                work = partial(_open, asked=asked, pace=max(share * capacity, 1.0), seconds=length)
                told.append(_phase(name, server, key, clients, work))
    return told


def _phase(
    name: str, server: Running, key: str, clients: int, work: Callable[[list[Line], Load], None]
) -> dict[str, Any]:
    lines, load = [Line(server.url, key) for _ in range(clients)], Load()
    before, begun = server.resident_mb(), time.perf_counter()
    work(lines, load)
    took, every = time.perf_counter() - begun, max(load.counts.total(), 1)
    for line in lines:
        line.close()
    known = sum(load.counts[status] for status in (200, 429, 503))
    return {
        "load": name,
        "clients": clients,
        "asked_a_second": round(load.counts.total() / took, 2),
        "answered_a_second": round(load.counts[200] / took, 2),
        "refused_503": round(load.counts[503] / every, 4),
        "other": load.counts.total() - known,
        "median_ms": round(1000 * statistics.median(load.seconds or [0.0]), 1),
        "p99_ms": quantile(load.seconds, 0.99),
        "seconds": round(took, 1),
        "memory_mb": round(server.resident_mb(), 1),
        "grown_mb": round(server.resident_mb() - before, 1),
    }


def _closed(lines: list[Line], load: Load, asked: Iterable[str], seconds: float) -> None:
    """Each asks again when it is answered."""
    end, take = time.perf_counter() + seconds, _taking(asked)

    def client(line: Line) -> None:
        while (now := time.perf_counter()) < end:
            load.ask(line, take(), now)

    with ThreadPoolExecutor(len(lines)) as pool:
        list(pool.map(client, lines))


def _open(lines: list[Line], load: Load, asked: Iterable[str], pace: float, seconds: float) -> None:
    """So many questions a second, each at its time, by whichever client is free; late ones are late, not left out."""
    begun, take, turn = time.perf_counter(), _taking(asked), _taking(itertools.count())

    def client(line: Line) -> None:
        while (due := begun + turn() / pace) < begun + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            load.ask(line, take(), due)

    with ThreadPoolExecutor(len(lines)) as pool:
        list(pool.map(client, lines))


def _taking(values: Iterable[Any]) -> Callable[[], Any]:
    """The next of the values, one for each of several threads."""
    lock, left = threading.Lock(), iter(values)

    def take() -> Any:
        with lock:
            return next(left)

    return take
