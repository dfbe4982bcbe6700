"""More requests than places, and clients that do not wait for their answer."""

import asyncio
import json
import threading

import pytest
from fastapi import Request

from projects.onnx_serving.server.app import ClientLeftError, unless_disconnected
from tests.onnx_serving.serving import PROMPT, QUESTION, calling


class Gate:
    """A service's `run` that waits."""

    def __init__(self, run):
        self.open, self.entered, self.run, self.batches = threading.Event(), threading.Event(), run, []

    def __call__(self, batch):
        self.entered.set()
        self.open.wait(10)
        self.batches.append(len(batch))
        return self.run(batch)


async def until(ready, seconds=5):
    """Wait for what another task or thread does."""
    async with asyncio.timeout(seconds):
        while not ready():
            await asyncio.sleep(0.002)


def test_a_full_queue_is_503_with_retry_after(models):
    gate = models.generator.run = Gate(models.generator.run)

    async def work(client, app):
        jobs = [asyncio.create_task(client.post("/generate", json=PROMPT))]
        await until(gate.entered.is_set)
        for waiting in (1, 2, 3):
            jobs.append(asyncio.create_task(client.post("/generate", json=PROMPT)))
            await until(lambda: app.state.service.generations.depth == waiting)  # noqa: B023 - awaited at once
        refused = [await client.post(route, json=PROMPT) for route in ("/generate", "/generate", "/generate/stream")]
        gate.open.set()
        return [*(await asyncio.gather(*jobs)), *refused], (await client.get("/metrics")).text

    replies, numbers = calling(models, work, waiting=3, rows=4)
    assert [reply.status_code for reply in replies] == [200] * 4 + [503] * 3
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies[4:])
    assert gate.batches == [1, 3]
    assert 'requests_total{route="/generate",status="503"} 2.0' in numbers
    assert 'batch_requests_sum{model="decoder"} 4.0' in numbers


def test_without_batching_each_goes_alone(models):
    gate = models.answerer.run = Gate(models.answerer.run)
    gate.open.set()

    async def work(client, _):
        return await asyncio.gather(*(client.post("/qa", json=QUESTION) for _ in range(5)))

    assert {reply.status_code for reply in calling(models, work, batching=0)} == {200}
    assert gate.batches == [1] * 5


def disconnecting(app, route, body, after):
    """Speak ASGI by hand: send a request, and leave once `after` is set."""
    sent = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": route,
        "raw_path": route.encode(),
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"content-type", b"application/json"), (b"host", b"test")],
        "client": ("test", 1),
        "server": ("test", 80),
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "root_path": "",
    }
    given = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive():
        if given:
            return given.pop()
        await after.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    return app(scope, receive, send), sent


def test_a_client_that_leaves_frees_its_place(models):
    gate = models.generator.run = Gate(models.generator.run)

    async def work(client, app):
        first = asyncio.create_task(client.post("/generate", json=PROMPT))
        await until(gate.entered.is_set)
        leaves = asyncio.Event()
        request, sent = disconnecting(app, "/generate", PROMPT, leaves)
        leaving = asyncio.create_task(request)
        await until(lambda: app.state.service.generations.depth == 1)
        leaves.set()
        await asyncio.wait_for(leaving, 5)
        freed = app.state.service.generations.depth
        gate.open.set()
        return (await first).status_code, freed, sent[0]["status"], (await client.get("/metrics")).text

    status, freed, left, numbers = calling(models, work)
    assert (status, freed, left) == (200, 0, 499)
    assert "clients_left_total 1.0" in numbers and gate.batches == [1]


def test_the_row_of_a_client_that_leaves_is_told_to_end(models):
    gate, running = Gate(models.generator.run), []
    models.generator.run = lambda batch: running.extend(batch) or gate(batch)

    async def work(_, app):
        leaves = asyncio.Event()
        request, _ = disconnecting(app, "/generate", PROMPT, leaves)
        leaving = asyncio.create_task(request)
        await until(gate.entered.is_set)
        before = running[0].cancelled
        leaves.set()
        await asyncio.wait_for(leaving, 5)
        gate.open.set()
        return before, running[0].cancelled

    assert calling(models, work) == (False, True)


def test_a_client_that_leaves_a_stream_ends_its_row_and_is_counted(models):
    gate, running = Gate(models.generator.run), []
    models.generator.run = lambda batch: running.extend(batch) or gate(batch)

    async def work(client, app):
        leaves = asyncio.Event()
        request, _ = disconnecting(app, "/generate/stream", PROMPT, leaves)
        leaving = asyncio.create_task(request)
        await until(gate.entered.is_set)
        leaves.set()
        await asyncio.wait_for(leaving, 5)
        await until(lambda: running[0].cancelled)
        gate.open.set()
        return (await client.get("/metrics")).text

    assert "clients_left_total 1.0" in calling(models, work)


def test_the_work_has_ended_when_its_client_is_told():
    ended = []

    async def receive():
        return {"type": "http.disconnect"}

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    async def main():
        with pytest.raises(ClientLeftError):
            await unless_disconnected(Request({"type": "http"}, receive), work())
        return list(ended)

    assert asyncio.run(main()) == [True]
