"""The server over HTTP at what it sustains and at twice that: who is refused, and how long the others wait.

Arrivals come at their own times whether or not earlier ones were answered: clients that wait would hide the queue.
"""

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from projects.movie_recs.server.settings import PREFIX
from shared import devices
from shared.errors import UserError
from shared.web.launch import Running, running

PEOPLE, LIKES, WRITES = 16, 10, 10  # every tenth request rates a film, the others ask for a list
CONNECTIONS = 128
FEWEST, GAIN, PAUSE = 8, 0.05, 0.05  # clients to begin with; by how much twice as many must gain; seconds


@dataclass(frozen=True)
class Somebody:
    """A profile that has liked films."""

    headers: dict[str, str]
    films: list[int]


@dataclass(frozen=True)
class Answer:
    """Status (0: none), latency in ms, and whether a refusal says when to come back."""

    status: int
    ms: float
    retry_after: bool


def measured(seconds: float) -> list[dict[str, Any]]:
    """A row at the capacity and one at twice the capacity, each so many seconds long."""
    core = 0 if devices.cores() > 1 else None  # the server on one core, its clients on the others
    with (
        tempfile.TemporaryDirectory() as folder,
        running("projects.movie_recs.server", PREFIX, {"data": folder, "rate": 1e6}, core=core) as server,
    ):
        return asyncio.run(_measured(server, seconds))


async def _measured(server: Running, seconds: float) -> list[dict[str, Any]]:
    many = {"max_connections": CONNECTIONS, "max_keepalive_connections": CONNECTIONS}
    limits = httpx.Limits(**many, keepalive_expiry=2)  # before the server ends an idle connection
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        people = [await somebody(server.url, number) for number in range(PEOPLE)]
        capacity = await sustained(client, people, seconds)
        rows = []
        for load, rate in (("capacity", capacity), ("twice the capacity", 2 * capacity)):
            before = server.resident_mb()
            answers, largest = await arrivals(server, client, people, rate, seconds)
            rows.append({"load": load, **row_of(answers, rate, seconds)})
            rows[-1] |= {"mb_before": round(before, 1), "mb_largest": round(largest, 1)}
    if server.process.poll() is not None:
        raise UserError(f"the server ended under load with code {server.process.returncode}")
    return rows


async def somebody(url: str, number: int) -> Somebody:
    """A new profile; it likes LIKES films of the questionnaire."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        csrf = (await client.post("/api/session")).raise_for_status().json()["csrf"]
        asked = (await client.get("/api/questions")).raise_for_status().json()["films"]
        films = [film["id"] for film in asked]
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        who = Somebody({"X-CSRF-Token": csrf, "Cookie": cookies}, films)
        for film in random.Random(number).sample(films, min(LIKES, len(films))):
            (await client.put(f"/api/ratings/{film}", json={"stars": 5}, headers=who.headers)).raise_for_status()
        return who


async def ask(client: httpx.AsyncClient, people: list[Somebody], number: int) -> httpx.Response:
    """A person's list, or every WRITES-th time a rating."""
    who = people[number % len(people)]
    if number % WRITES:
        return await client.get("/api/list", headers=who.headers)
    film, stars = who.films[number % len(who.films)], 3.5 + number // WRITES % 4 / 2
    return await client.put(f"/api/ratings/{film}", json={"stars": stars}, headers=who.headers)


async def sustained(client: httpx.AsyncClient, people: list[Somebody], seconds: float) -> float:
    """Answers a second that no more come of when twice as many clients ask without a pause: the server's limit."""
    best, clients = 0.0, FEWEST
    while clients <= CONNECTIONS:
        answered = await closed(client, people, clients, seconds)
        if answered < (1 + GAIN) * best:
            break
        best, clients = answered, 2 * clients
    return max(best, answered)


async def closed(client: httpx.AsyncClient, people: list[Somebody], clients: int, seconds: float) -> float:
    """Answers a second of so many clients, each of which asks again when it is answered; one that is refused waits."""
    done, end = 0, time.perf_counter() + seconds

    async def keep_asking(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            if (reply := await ask(client, people, number)).status_code == 503:
                await asyncio.sleep(PAUSE)
                continue
            reply.raise_for_status()
            done, number = done + 1, number + clients + 1

    started = time.perf_counter()
    await asyncio.gather(*(keep_asking(number) for number in range(clients)))
    return done / (time.perf_counter() - started)


async def arrivals(
    server: Running, client: httpx.AsyncClient, people: list[Somebody], rate: float, seconds: float
) -> tuple[list[Answer], float]:
    """Poisson arrivals for so long: every answer, and the server's largest memory meanwhile."""
    answers: list[Answer] = []
    draw, largest = random.Random(0), server.resident_mb()

    async def one(number: int) -> None:
        started, status, told = time.perf_counter(), 0, False
        try:
            reply = await ask(client, people, number)
            status, told = reply.status_code, "retry-after" in reply.headers
        except httpx.HTTPError:
            pass  # status 0: the table counts it as neither answered nor refused
        answers.append(Answer(status, 1000 * (time.perf_counter() - started), told))

    async with asyncio.TaskGroup() as tasks:
        begun, at, number = time.perf_counter(), 0.0, 0
        while (at := at + draw.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
            tasks.create_task(one(number))
            number += 1
            if number % 100 == 0:
                largest = max(largest, server.resident_mb())
    return answers, max(largest, server.resident_mb())


def row_of(answers: list[Answer], rate: float, seconds: float) -> dict[str, Any]:
    """What the table says of a load; `other` is neither answered nor refused with a time to come back."""
    good = [each.ms for each in answers if each.status == 200]
    refused = [each.ms for each in answers if each.status == 503 and each.retry_after]
    p50, p99 = (float(np.percentile(good, each)) if good else 0.0 for each in (50, 99))
    return {
        "asked_a_second": round(rate, 1),
        "answered_a_second": round(len(good) / seconds, 1),
        "refused": round(len(refused) / max(len(answers), 1), 4),
        "other": len(answers) - len(good) - len(refused),
        "p50_ms": round(p50, 1),
        "p99_ms": round(p99, 1),
        "refusal_p99_ms": round(float(np.percentile(refused, 99)), 1) if refused else 0.0,
    }
