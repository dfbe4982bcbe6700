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
from projects.onnx_serving.server.launch import running
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.progress import table
from shared.web.launch import Running

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

    graphs: Path = EXPORTED
    """Folder of the exported graphs."""
    seconds: float = 60.0
    """How long the server is overloaded."""
    closed_seconds: float = 8.0
    """How long each measurement of throughput takes."""
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
class Response:
    """When a request was sent (seconds since the start), the status of its answer, and its latency in seconds."""

    at: float
    status: int
    seconds: float
    retry_after: bool


Send = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]
"""Sends a route's request of this number."""


async def generate(client: httpx.AsyncClient, number: int) -> httpx.Response:
    """Ask for the answer to a short prompt."""
    return await client.post("/generate", json={"prompt": PROMPTS[number % len(PROMPTS)], "max_new_tokens": NEW})


def question(number: int) -> dict[str, str]:
    """A question about one sentence."""
    text = f"Film {number} is a 1958 American film directed by Alfred Hitchcock, starring James Stewart and Kim Novak."
    return {"question": f"Who directed Film {number}?", "context": text}


async def answer(client: httpx.AsyncClient, number: int) -> httpx.Response:
    """Ask it over HTTP."""
    return await client.post("/qa", json=question(number))


ROUTES: dict[str, Send] = {"/generate": generate, "/qa": answer}


def main(config: LoadConfig) -> dict[str, Any]:
    """Measure the server: cold start, overhead, batching against none, and twice the sustainable load."""
    core = 0 if devices.cores() > 1 else None  # the server on one core, its clients on the others
    options = {"models": config.graphs, "precision": config.precision, "threads": 1, "rows": ROWS, "waiting": WAITING}
    with running({**options, "waiting": 64, "batching": 0}, core=core) as server:
        single = {route: asyncio.run(throughput(server, send, config)) for route, send in ROUTES.items()}
    with running({**options, "waiting": 64}, core=core) as server:
        together = {route: asyncio.run(throughput(server, send, config)) for route, send in ROUTES.items()}
    with running(options, core=core) as server:
        resident = server.resident_mb()
        alone = {route: asyncio.run(unloaded_latencies(server, send, config.alone)) for route, send in ROUTES.items()}
        bare = bare_milliseconds(config, core)
        rate = 2 * together["/generate"]
        responses, memory = asyncio.run(overload(server, generate, rate, config.seconds))
    facts = {
        "cold_start_s": round(server.cold_seconds, 2),
        "resident_mb": round(resident, 1),
        "resident_after_mb": [round(each, 1) for each in memory],
        "overhead_ms": round(1000 * float(np.median(alone["/qa"])) - bare, 3),
        "bare_qa_ms": round(bare, 3),
    }
    routes = [route_row(route, single[route], together[route], alone[route]) for route in ROUTES]
    return publish(config, routes, overload_row(rate, responses, alone["/generate"]), facts, responses)


def client_of(server: Running, connections: int) -> httpx.AsyncClient:
    """A client that keeps so many connections open."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits)


async def throughput(server: Running, send: Send, config: LoadConfig) -> float:
    """Answers a second when 2 × ROWS clients ask without a pause: what the server sustains."""
    done = 0
    async with client_of(server, 2 * ROWS) as client:
        for number in range(2 * ROWS):
            await send(client, number)  # warm-up
        end = time.perf_counter() + config.closed_seconds

        async def keep_asking(number: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                (await send(client, number)).raise_for_status()
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(keep_asking(number) for number in range(2 * ROWS)))
        return done / (time.perf_counter() - started)


async def unloaded_latencies(server: Running, send: Send, count: int) -> list[float]:
    """Latencies in seconds of requests that nothing else disturbs."""
    spent = []
    async with client_of(server, 1) as client:
        for number in range(count + 3):
            started = time.perf_counter()
            (await send(client, number)).raise_for_status()
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
        answerer = load(Settings(models=config.graphs, precision=config.precision)).answerer
        spent = []
        for number in range(config.alone + 3):
            body = question(number)
            started = time.perf_counter()
            spans = answerer.run([answerer.work(body["question"], body["context"])])
            answerer.answers(spans[0], body["context"], 1)
            spent.append(time.perf_counter() - started)
        return 1000 * float(np.median(spent[3:]))
    finally:
        if core is not None:
            os.sched_setaffinity(0, allowed)


async def overload(server: Running, send: Send, rate: float, seconds: float) -> tuple[list[Response], list[float]]:
    """Send Poisson arrivals for so long. Returns every response, and the memory before, after each sixth, and after."""
    responses: list[Response] = []
    memory = [server.resident_mb()]
    draw = random.Random(0)

    async def one(client: httpx.AsyncClient, number: int, at: float) -> None:
        started, status, retry_after = time.perf_counter(), 0, False
        try:
            reply = await send(client, number)
            status, retry_after = reply.status_code, "retry-after" in reply.headers
        except httpx.HTTPError:
            pass  # status 0: no answer, which the table counts as "other"
        responses.append(Response(at, status, time.perf_counter() - started, retry_after))

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
    return responses, [*memory, server.resident_mb()]


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


def overload_row(rate: float, responses: list[Response], alone: list[float]) -> dict[str, Any]:
    """Summary of the responses to too many requests."""
    accepted = [response.seconds for response in responses if response.status == 200]
    refused = [response for response in responses if response.status == 503]
    unloaded = float(np.percentile(alone, 99))
    p50, p99 = (float(np.percentile(accepted, percent)) for percent in (50, 99))
    return {
        "rate": round(rate, 2),
        "requests": len(responses),
        "accepted": len(accepted),
        "refused": len(refused),
        "refused_with_retry_after": sum(response.retry_after for response in refused),
        "other": len(responses) - len(accepted) - len(refused),
        "accepted_p50_ms": round(1000 * p50, 1),
        "accepted_p99_ms": round(1000 * p99, 1),
        "over_unloaded_p99": round(p99 / unloaded, 3),
        "refusal_p99_ms": round(1000 * float(np.percentile([r.seconds for r in refused], 99)), 1) if refused else 0.0,
    }


def publish(
    config: LoadConfig,
    routes: list[dict[str, Any]],
    load: dict[str, Any],
    facts: dict[str, Any],
    responses: list[Response],
) -> dict[str, Any]:
    """server.csv, load.csv, arrivals.csv (a line a second), server.json, and the README's tables."""
    from projects.onnx_serving import study

    for name, rows in (("server.csv", routes), ("load.csv", [load]), ("arrivals.csv", by_second(responses))):
        study.write(config.out / name, rows)
    details = {"rows": ROWS, "waiting": WAITING, "new": NEW, "precision": config.precision, "threads_of_server": 1}
    write_json(config.out / "server.json", {**facts, **details, "seconds": config.seconds, **devices.machine()})
    study.show(config.out, "server", "load")
    table("The process", ["what", "value"], [(name, str(value)) for name, value in facts.items()])
    return load


def by_second(responses: list[Response]) -> list[dict[str, Any]]:
    """Accepted and refused requests by the second of their arrival, with the largest latency of the accepted."""
    seconds: dict[int, list[Response]] = {}
    for response in responses:
        seconds.setdefault(int(response.at), []).append(response)
    rows = []
    for second, mine in sorted(seconds.items()):
        taken = [response.seconds for response in mine if response.status == 200]
        longest = round(1000 * max(taken, default=0.0), 1)
        refused = sum(response.status == 503 for response in mine)
        rows.append({"second": second, "accepted": len(taken), "refused": refused, "longest_ms": longest})
    return rows


if __name__ == "__main__":
    command(main, LoadConfig)
