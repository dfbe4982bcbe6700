"""The server under load: cold start, overhead, batching against none, and a minute at twice what it sustains.

Arrivals are open-loop: requests come at their own times whether or not earlier ones were answered. A closed loop would
wait with the server and hide its queue.
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from projects.onnx_serving.paths import EXPORTED, RESULTS
from projects.onnx_serving.server.launch import Running, running
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.progress import table

ROWS = 4  # of a batch
WAITING = 3  # in the queue: who is accepted waits for the batch under way and goes with the next one
PROMPTS = (
    "Name a film by Alfred Hitchcock.",
    "What is the capital of Peru, and which river is near it?",
    "Say hello.",
    "Explain in one sentence why the sky is blue, so that a child understands it.",
)
NEW = 16  # tokens a request


@dataclass(frozen=True, kw_only=True)
class LoadConfig:
    """Measure the server: cold start, overhead, batching, and overload."""

    models: Path = EXPORTED
    """Folder of the exported graphs."""
    seconds: float = 60.0
    """Of overload."""
    closed_seconds: float = 8.0
    """Of each measurement of throughput."""
    alone: int = 40
    """Requests, one after the other, from which the unloaded latency is taken."""
    precision: str = "int8"
    """int8 or float32 graphs."""
    out: Path = RESULTS
    """Where the files go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not (0 < self.seconds <= 600 and 0 < self.closed_seconds <= 600 and 5 <= self.alone <= 10_000):
            raise UserError("--seconds and --closed_seconds must be in (0, 600], --alone from 5 to 10000")


@dataclass(frozen=True)
class Reply:
    """One answer: when it was asked for (seconds since the start), its status, and its latency in seconds."""

    at: float
    status: int
    seconds: float
    retry_after: bool


Ask = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


async def generate(client: httpx.AsyncClient, number: int) -> httpx.Response:
    """A short chat."""
    return await client.post("/generate", json={"prompt": PROMPTS[number % len(PROMPTS)], "max_new_tokens": NEW})


def question(number: int) -> dict[str, str]:
    """A question about one sentence."""
    said = f"Film {number} is a 1958 American film directed by Alfred Hitchcock, starring James Stewart and Kim Novak."
    return {"question": f"Who directed Film {number}?", "context": said}


async def answer(client: httpx.AsyncClient, number: int) -> httpx.Response:
    """The same over HTTP."""
    return await client.post("/qa", json=question(number))


ROUTES: dict[str, Ask] = {"/generate": generate, "/qa": answer}


def main(config: LoadConfig) -> dict[str, Any]:
    """Measure the server: cold start, overhead, batching against none, and twice the sustainable load."""
    cores = devices.cores()
    core = 0 if cores > 1 else None  # the server on one core, whoever asks on the others
    options = {"models": config.models, "precision": config.precision, "threads": 1, "rows": ROWS, "waiting": WAITING}
    with running({**options, "waiting": 64, "batching": 0}, core=core) as server:
        single = {route: asyncio.run(throughput(server, ask, config)) for route, ask in ROUTES.items()}
    with running({**options, "waiting": 64}, core=core) as server:
        together = {route: asyncio.run(throughput(server, ask, config)) for route, ask in ROUTES.items()}
    with running(options, core=core) as server:
        resident = server.resident_mb()
        alone = {route: asyncio.run(one_by_one(server, ask, config.alone)) for route, ask in ROUTES.items()}
        bare = bare_milliseconds(config, core)
        rate = 2 * together["/generate"]
        replies, memory = asyncio.run(overload(server, generate, rate, config.seconds))
    routes = [route_row(route, single[route], together[route], alone[route]) for route in ROUTES]
    return publish(
        config,
        routes,
        overload_row(rate, replies, alone["/generate"]),
        {
            "cold_start_s": round(server.cold_seconds, 2),
            "resident_mb": round(resident, 1),
            "resident_after_mb": [round(each, 1) for each in memory],
            "overhead_ms": round(1000 * float(np.median(alone["/qa"])) - bare, 3),
            "bare_qa_ms": round(bare, 3),
        },
        replies,
    )


def client_of(server: Running, connections: int) -> httpx.AsyncClient:
    """A client that keeps so many connections open."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits)


async def throughput(server: Running, ask: Ask, config: LoadConfig) -> float:
    """Answers a second when 2 × ROWS clients ask without a pause: what the server sustains."""
    done = 0
    async with client_of(server, 2 * ROWS) as client:
        for number in range(2 * ROWS):
            await ask(client, number)  # warm-up
        end = time.perf_counter() + config.closed_seconds

        async def keep_asking(number: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                (await ask(client, number)).raise_for_status()
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(keep_asking(number) for number in range(2 * ROWS)))
        return done / (time.perf_counter() - started)


async def one_by_one(server: Running, ask: Ask, count: int) -> list[float]:
    """Latencies in seconds of requests that nothing else disturbs."""
    spent = []
    async with client_of(server, 1) as client:
        for number in range(count + 3):
            started = time.perf_counter()
            (await ask(client, number)).raise_for_status()
            spent.append(time.perf_counter() - started)
    return spent[3:]


def bare_milliseconds(config: LoadConfig, core: int | None) -> float:
    """Median of the same questions answered in this process without HTTP and queue, on the server's core."""
    from projects.onnx_serving.server.service import load
    from projects.onnx_serving.server.settings import Settings

    allowed = os.sched_getaffinity(0) if core is not None else set()
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        questions = load(Settings(models=config.models, precision=config.precision)).questions
        spent = []
        for number in range(config.alone + 3):
            said = question(number)
            started = time.perf_counter()
            spans = questions.run([questions.asked(said["question"], said["context"])])
            questions.answers(spans[0], said["context"], 1)
            spent.append(time.perf_counter() - started)
        return 1000 * float(np.median(spent[3:]))
    finally:
        if core is not None:
            os.sched_setaffinity(0, allowed)


async def overload(server: Running, ask: Ask, rate: float, seconds: float) -> tuple[list[Reply], list[float]]:
    """Poisson arrivals for so long; what each came to, and the server's memory before, each sixth, and after."""
    replies: list[Reply] = []
    memory = [server.resident_mb()]
    draw = random.Random(0)

    async def one(client: httpx.AsyncClient, number: int, at: float) -> None:
        started = time.perf_counter()
        try:
            reply = await ask(client, number)
            replies.append(Reply(at, reply.status_code, time.perf_counter() - started, "retry-after" in reply.headers))
        except httpx.HTTPError:
            replies.append(Reply(at, 0, time.perf_counter() - started, False))

    async with client_of(server, 256) as client, asyncio.TaskGroup() as tasks:
        started = time.perf_counter()
        at, number, seen = 0.0, 0, 0
        while (at := at + draw.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
            tasks.create_task(one(client, number, at))
            number += 1
            if 6 * at / seconds >= seen + 1:
                seen += 1
                memory.append(server.resident_mb())
    if server.process.poll() is not None:
        raise UserError(f"the server ended under load with code {server.process.returncode}")
    return replies, [*memory, server.resident_mb()]


def route_row(route: str, single: float, together: float, alone: list[float]) -> dict[str, Any]:
    """Throughput with and without batching, and the unloaded latency."""
    return {
        "route": route,
        "alone_p50_ms": round(1000 * float(np.percentile(alone, 50)), 2),
        "alone_p99_ms": round(1000 * float(np.percentile(alone, 99)), 2),
        "unbatched_per_second": round(single, 2),
        "batched_per_second": round(together, 2),
        "gain": round(together / single, 3),
    }


def overload_row(rate: float, replies: list[Reply], alone: list[float]) -> dict[str, Any]:
    """What a minute of too many requests came to."""
    taken = [reply.seconds for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 503]
    unloaded = float(np.percentile(alone, 99))
    p50, p99 = (float(np.percentile(taken, share)) for share in (50, 99))
    return {
        "rate": round(rate, 2),
        "requests": len(replies),
        "accepted": len(taken),
        "refused": len(refused),
        "refused_with_retry_after": sum(reply.retry_after for reply in refused),
        "other": len(replies) - len(taken) - len(refused),
        "accepted_p50_ms": round(1000 * p50, 1),
        "accepted_p99_ms": round(1000 * p99, 1),
        "over_unloaded_p99": round(p99 / unloaded, 3),
        "refusal_p99_ms": round(1000 * float(np.percentile([r.seconds for r in refused], 99)), 1) if refused else 0.0,
    }


def publish(
    config: LoadConfig, routes: list[dict[str, Any]], load: dict[str, Any], facts: dict[str, Any], replies: list[Reply]
) -> dict[str, Any]:
    """server.csv, load.csv, arrivals.csv (a line a second), server.json, and the README's tables."""
    from projects.onnx_serving import study

    for name, rows in (("server.csv", routes), ("load.csv", [load]), ("arrivals.csv", by_second(replies))):
        study.write(config.out / name, rows)
    details = {"rows": ROWS, "waiting": WAITING, "new": NEW, "precision": config.precision, "threads_of_server": 1}
    write_json(config.out / "server.json", {**facts, **details, "seconds": config.seconds, **devices.machine()})
    study.show(config.out, "server", "load")
    table("The process", ["what", "value"], [(name, str(value)) for name, value in facts.items()])
    return load


def by_second(replies: list[Reply]) -> list[dict[str, Any]]:
    """Accepted and refused requests by the second of their arrival, with the largest latency of the accepted."""
    seconds: dict[int, list[Reply]] = {}
    for reply in replies:
        seconds.setdefault(int(reply.at), []).append(reply)
    rows = []
    for second, mine in sorted(seconds.items()):
        taken = [reply.seconds for reply in mine if reply.status == 200]
        longest = round(1000 * max(taken, default=0.0), 1)
        refused = sum(reply.status == 503 for reply in mine)
        rows.append({"second": second, "accepted": len(taken), "refused": refused, "longest_ms": longest})
    return rows


if __name__ == "__main__":
    command(main, LoadConfig)
