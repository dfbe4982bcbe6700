"""The server over HTTP up to its limit and at twice that: who is refused, and how long the others wait."""

import itertools
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import httpx

from projects.movie_recs.server.settings import PREFIX
from shared import devices
from shared.errors import UserError
from shared.lab.load import Ask, Line, Tally, closed, paced, taking
from shared.web.launch import Running, running

PEOPLE, LIKES, WRITES = 16, 10, 10  # every tenth request rates a film, the others ask for a list
CLIENTS, FEWEST = 192, 4  # that wait for answers at most, and that look for the limit at first
GAIN = 0.05  # by so much must twice as many clients be answered more, or the limit is reached
PAUSE = 0.1  # seconds that a client waits that was refused, while the limit is looked for
SHARES = {"half the capacity": 0.5, "the capacity": 1.0, "twice the capacity": 2.0}


@dataclass(frozen=True)
class Somebody:
    """A profile that has liked films."""

    headers: dict[str, str]
    films: list[int]


def measured(seconds: float) -> list[dict[str, Any]]:
    """A row at each share of the capacity, each so many seconds long."""
    core = 0 if devices.cores() > 1 else None  # the server on one core, its clients on the others
    with (
        tempfile.TemporaryDirectory() as folder,
        running("projects.movie_recs.server", PREFIX, {"data": folder, "rate": 1e6}, core=core) as server,
        ExitStack() as open_lines,
    ):
        people = [somebody(server.url, number) for number in range(PEOPLE)]
        lines = [open_lines.enter_context(closing(Line(server.url))) for _ in range(CLIENTS)]
        rows = _rows(server, lines, people, seconds)
        if server.process.poll() is not None:
            raise UserError(f"the server ended under load with code {server.process.returncode}")
    return rows


def _rows(server: Running, lines: Sequence[Line], people: list[Somebody], seconds: float) -> list[dict[str, Any]]:
    numbers, draw = taking(itertools.count()), random.Random(0)
    capacity = sustained(lines, people, numbers, seconds)
    rows = []
    for load, share in SHARES.items():
        rate, tally, before = share * capacity, Tally(), server.resident_mb()
        gaps = (draw.expovariate(rate) for _ in itertools.count())
        took = paced([asking(line, people, numbers, tally) for line in lines], gaps, seconds)
        rows.append({"load": load, **row_of(tally, rate, took)})
        rows[-1] |= {"mb_before": round(before, 1), "mb_after": round(server.resident_mb(), 1)}
    return rows


def somebody(url: str, number: int) -> Somebody:
    """A new profile; it likes LIKES films of the questionnaire."""
    with httpx.Client(base_url=url, timeout=60) as client:
        csrf = client.post("/api/session").raise_for_status().json()["csrf"]
        films = [film["id"] for film in client.get("/api/questions").raise_for_status().json()["films"]]
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        who = Somebody({"X-CSRF-Token": csrf, "Cookie": cookies, "Content-Type": "application/json"}, films)
        for film in random.Random(number).sample(films, min(LIKES, len(films))):
            client.put(f"/api/ratings/{film}", json={"stars": 5}, headers=who.headers).raise_for_status()
        return who


def asking(line: Line, people: list[Somebody], numbers: Callable[[], int], tally: Tally, pause: float = 0.0) -> Ask:
    """A client that asks for people's lists and rates a film every WRITES-th time; refused, it waits for the pause."""

    def ask(due: float) -> None:
        number = numbers()
        who = people[number % len(people)]
        if number % WRITES:
            status, _ = line.send("GET", "/api/list", headers=who.headers)
        else:
            film, stars = who.films[number // WRITES % len(who.films)], 3.5 + number // WRITES % 4 / 2
            status, _ = line.send("PUT", f"/api/ratings/{film}", json.dumps({"stars": stars}), who.headers)
        tally.add(status, due)
        if status != 200:
            time.sleep(pause)

    return ask


def sustained(lines: Sequence[Line], people: list[Somebody], numbers: Callable[[], int], seconds: float) -> float:
    """Answers a second at the limit: twice as many clients that ask without a pause are not answered more."""
    best, clients = 0.0, FEWEST
    while clients <= len(lines):
        tally = Tally()
        took = closed([asking(line, people, numbers, tally, PAUSE) for line in lines[:clients]], seconds)
        answered = tally.counts[200] / took
        if answered < (1 + GAIN) * best:
            return max(best, answered)
        best, clients = answered, 2 * clients
    return best


def row_of(tally: Tally, rate: float, took: float) -> dict[str, Any]:
    """What the table says of a load; `other` is neither answered nor refused.

    Args:
        rate: Requests a second that were asked.
        took: Seconds until the last one was answered.
    """
    counts = tally.counts
    return {
        "asked_a_second": round(rate, 1),
        "answered_a_second": round(counts[200] / took, 1),
        "refused": round(counts[503] / max(counts.total(), 1), 4),
        "other": counts.total() - counts[200] - counts[503],
        "p50_ms": tally.ms(200, 0.5),
        "p99_ms": tally.ms(200, 0.99),
        "refusal_p99_ms": tally.ms(503, 0.99),
    }
