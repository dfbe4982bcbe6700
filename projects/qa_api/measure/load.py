"""Questions from many clients: what is answered, how late, what is refused, and whether memory grows.

Capacity is what a few clients get that ask again as soon as they are answered. Then questions come at a pace that does
not wait for answers (an open loop), and a latency counts from when its question was due. No question comes twice, so
that the cache answers none.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from projects.qa_api.data.documents import introductions
from projects.qa_api.data.examples import fact_examples
from projects.qa_api.measure.clients import SERVER, Client, served
from shared.lab.load import Ask, Tally, closed, paced, taking
from shared.web.launch import Running

CLIENTS = 16
CLOSED = 4  # clients that find the capacity
SHARES = {"half the capacity": 0.5, "70 % of the capacity": 0.7}
TWICE = 2.0
WARM = 8  # questions before anything is counted


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
    take, told = taking(asked), []
    with served(run, module=module, dataset=dataset) as (server, key):
        with closing(Client(server.url, key)) as warm:
            for _ in range(WARM):
                warm.call("POST", "/v1/ask", {"question": take()})
        told.append(_phase("as fast as answered", server, key, CLOSED, take, partial(closed, seconds=seconds)))
        capacity = float(told[0]["answered_a_second"])
        phases = [(name, share, CLIENTS, seconds) for name, share in SHARES.items()]
        phases += [("twice the capacity", TWICE, 2 * CLIENTS, seconds)]
        phases += [("twice the capacity, longer", TWICE, 2 * CLIENTS, soak)]
        for name, share, clients, length in phases:
            if length:
                pace = itertools.repeat(1 / max(share * capacity, 1.0))
                told.append(_phase(name, server, key, clients, take, partial(paced, gaps=pace, seconds=length)))
    return told


def _phase(
    name: str,
    server: Running,
    key: str,
    clients: int,
    take: Callable[[], str],
    work: Callable[[list[Ask]], float],
) -> dict[str, Any]:
    tally, before = Tally(), server.resident_mb()
    with ExitStack() as open_lines:
        lines = [open_lines.enter_context(closing(Client(server.url, key))) for _ in range(clients)]
        took = work([_asking(line, take, tally) for line in lines])
    counts = tally.counts
    return {
        "load": name,
        "clients": clients,
        "asked_a_second": round(counts.total() / took, 2),
        "answered_a_second": round(counts[200] / took, 2),
        "refused_503": round(counts[503] / max(counts.total(), 1), 4),
        "other": counts.total() - counts[200] - counts[429] - counts[503],
        "median_ms": tally.ms(200, 0.5),
        "p99_ms": tally.ms(200, 0.99),
        "seconds": round(took, 1),
        "memory_mb": round(server.resident_mb(), 1),
        "grown_mb": round(server.resident_mb() - before, 1),
    }


def _asking(line: Client, take: Callable[[], str], tally: Tally) -> Ask:
    """A client that asks the next question."""

    def ask(due: float) -> None:
        status, _ = line.call("POST", "/v1/ask", {"question": take()})
        tally.add(status, due)

    return ask
