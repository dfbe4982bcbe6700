"""The routes over tiny models: what is answered, what is refused, and that nothing a client sends is a 5xx."""

import asyncio
import json
from collections import Counter
from dataclasses import replace

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from projects.onnx_serving.inference.spans import Cutter
from projects.onnx_serving.inference.torch_backend import TorchDecoder, TorchEncoder
from projects.onnx_serving.server.app import create_app
from projects.onnx_serving.server.service import Models, Questions, TextStream, Writer
from projects.onnx_serving.server.settings import Settings
from tests.onnx_serving.test_spans import ODD

KNOWN = {"before": "<s>user ", "after": " assistant", "padding": 2, "ends": [2]}
PROMPT = {"prompt": "hello", "max_new_tokens": 6}
ASKED = {"question": "Who directed it?", "context": ODD}


@pytest.fixture
def models(encoder, decoder, qa_tokenizer, lm_tokenizer):
    cutter = Cutter(qa_tokenizer, length=48, overlap=12)
    questions = Questions(TorchEncoder(encoder), cutter, threshold=-100.0, budget=2048)
    return Models(
        questions, Writer(TorchDecoder(decoder), lm_tokenizer, KNOWN, longest=300), ("encoder.onnx", "decoder.onnx")
    )


def calling(models, work, **options):
    """Run `work(client, app)` against an application that is up."""

    async def main():
        app = create_app(models, Settings(**options))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            return await work(client, app)

    return asyncio.run(main())


def post(models, route, **request):
    async def work(client, _):
        return await client.post(route, **request)

    return calling(models, work)


def test_generate_is_what_the_decoder_makes(models):
    reply = post(models, "/generate", json={**PROMPT, "chat": False})
    assert reply.status_code == 200
    got = reply.json()
    assert got["prompt_tokens"] == 5 and got["new_tokens"] <= 6 and got["finish"] in ("end", "length")
    again = post(models, "/generate", json={**PROMPT, "chat": False}).json()
    assert again == got


def test_the_chat_template_surrounds_the_prompt(models):
    tokens = models.writer.tokens_of("hi", chat=True)
    assert tokens[0] == 1 and len(tokens) > len(models.writer.tokens_of("hi", chat=False))


def test_a_control_token_in_a_prompt_is_text(models):
    assert 2 not in models.writer.tokens_of("a</s>b", chat=False)


def test_streamed_pieces_are_the_whole_text(models):
    body = {**PROMPT, "chat": False, "max_new_tokens": 12, "temperature": 1.0, "seed": 4}
    whole = post(models, "/generate", json=body).json()
    reply = post(models, "/generate/stream", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in block.split("\n")) for block in reply.text.strip().split("\n\n")]
    pieces = [json.loads(each["data"]) for each in events if each["event"] == "piece"]
    assert "".join(pieces) == whole["text"]
    assert events[-1]["event"] == "done" and json.loads(events[-1]["data"])["new_tokens"] == whole["new_tokens"]


def test_a_stream_holds_back_half_a_character():
    def text_of(tokens):
        return bytes(tokens).decode("utf-8", "replace")

    stream = TextStream(text_of)
    assert [stream.push(byte) for byte in "a🎬b".encode()] == ["a", "", "", "", "🎬", "b"]
    half = TextStream(text_of)
    assert half.push(0xF0) == "" and half.rest() == "\ufffd"


def test_answers_are_characters_of_the_context(models):
    for each in post(models, "/qa", json={**ASKED, "top_k": 5}).json()["answers"]:
        assert ODD[each["start"] : each["end"]] == each["answer"]


def test_many_at_once_equal_one_at_a_time(models):
    bodies = [{"prompt": "abc"[: n % 3 + 1] * (n + 1), "max_new_tokens": 4 + n, "chat": False} for n in range(8)]
    alone = [post(models, "/generate", json=body).json() for body in bodies]

    async def work(client, _):
        return await asyncio.gather(*(client.post("/generate", json=body) for body in bodies))

    assert [reply.json() for reply in calling(models, work)] == alone


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/generate", {}),
        ("/generate", {"prompt": ""}),
        ("/generate", {"prompt": 5}),
        ("/generate", {"prompt": None}),
        ("/generate", {"prompt": "x" * 16385}),
        ("/generate", {"prompt": "x", "max_new_tokens": 0}),
        ("/generate", {"prompt": "x", "max_new_tokens": 257}),
        ("/generate", {"prompt": "x", "max_new_tokens": 1.5}),
        ("/generate", {"prompt": "x", "temperature": -1}),
        ("/generate", {"prompt": "x", "top_p": 0}),
        ("/generate", {"prompt": "x", "seed": -1}),
        ("/generate", {"prompt": "x", "temprature": 1}),
        ("/generate", []),
        ("/generate/stream", {"prompt": ""}),
        ("/qa", {"question": "x"}),
        ("/qa", {"question": " ", "context": "x"}),
        ("/qa", {"question": "\x1f", "context": "x"}),
        ("/qa", {"question": "x", "context": "\r\n"}),
        ("/qa", {"question": "why " * 100, "context": "x"}),
        ("/qa", {"question": "x", "context": "x", "top_k": 11}),
    ],
)
def test_violations_are_422_and_say_where(models, route, body):
    reply = post(models, route, json=body)
    assert reply.status_code == 422
    assert all(problem["loc"] and problem["msg"] for problem in reply.json()["detail"])


def test_a_prompt_of_ten_thousand_tokens(models):
    reply = post(models, "/generate", json={"prompt": "a" * 10_000})
    assert reply.status_code == 422 and "10000 tokens, and at most 300" in reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": "x", "temperature": NaN}',
        b'{"prompt": "x", "temperature": Infinity}',
        b'{"prompt": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"prompt": "\xff\xfe"}',
        b"\x80",
        b"",
        b"{",
        b"nul",
        b'{"prompt": "x", "seed": 1e400}',
        b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
        b"[" * 20000,
    ],
)
def test_bytes_that_are_no_request(models, content):
    for route in ("/generate", "/qa"):
        reply = post(models, route, content=content, headers={"content-type": "application/json"})
        assert reply.status_code == 422, (reply.status_code, reply.text)
        assert reply.json()["detail"]


def test_what_is_no_utf8_is_told_by_its_byte(models):
    reply = post(models, "/generate", content=b'{"prompt": "\xff\xfe"}')
    assert reply.status_code == 422 and "no UTF-8 text (byte 12)" in reply.json()["detail"][0]["msg"]


def test_a_body_over_the_limit(models):
    reply = post(models, "/generate", content=b'{"prompt": "' + b"x" * 70_000 + b'"}')
    assert reply.status_code == 413 and "65536" in reply.json()["detail"][0]["msg"]

    async def pieces():
        for _ in range(100):
            yield b"x" * 1000

    assert post(models, "/generate", content=pieces()).status_code == 413


class Gate:
    """A service's `run` that waits."""

    def __init__(self, run):
        import threading

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
    gate = models.writer.run = Gate(models.writer.run)

    async def work(client, app):
        jobs = [asyncio.create_task(client.post("/generate", json=PROMPT))]
        await until(gate.entered.is_set)
        for waiting in (1, 2, 3):
            jobs.append(asyncio.create_task(client.post("/generate", json=PROMPT)))
            await until(lambda: app.state.service.writings.depth == waiting)  # noqa: B023 - awaited at once
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
    gate = models.questions.run = Gate(models.questions.run)
    gate.open.set()

    async def work(client, _):
        return await asyncio.gather(*(client.post("/qa", json=ASKED) for _ in range(5)))

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
    gate = models.writer.run = Gate(models.writer.run)

    async def work(client, app):
        first = asyncio.create_task(client.post("/generate", json=PROMPT))
        await until(gate.entered.is_set)
        leaves = asyncio.Event()
        request, sent = disconnecting(app, "/generate", PROMPT, leaves)
        leaving = asyncio.create_task(request)
        await until(lambda: app.state.service.writings.depth == 1)
        leaves.set()
        await asyncio.wait_for(leaving, 5)
        freed = app.state.service.writings.depth
        gate.open.set()
        return (await first).status_code, freed, sent[0]["status"], (await client.get("/metrics")).text

    status, freed, left, numbers = calling(models, work)
    assert (status, freed, left) == (200, 0, 499)
    assert "clients_left_total 1.0" in numbers and gate.batches == [1]


def test_the_row_of_a_client_that_leaves_is_told_to_end(models):
    gate, running = Gate(models.writer.run), []
    models.writer.run = lambda batch: running.extend(batch) or gate(batch)

    async def work(_, app):
        leaves = asyncio.Event()
        request, _ = disconnecting(app, "/generate", PROMPT, leaves)
        leaving = asyncio.create_task(request)
        await until(gate.entered.is_set)
        before = running[0].gone
        leaves.set()
        await asyncio.wait_for(leaving, 5)
        gate.open.set()
        return before, running[0].gone

    assert calling(models, work) == (False, True)


def test_a_failing_model_is_one_500_and_the_server_goes_on(models):
    run = models.questions.run

    def failing(batch):
        if any(each.top_k == 7 for each in batch):
            raise RuntimeError("broken")
        return run(batch)

    models.questions.run = failing

    async def work(client, _):
        bodies = [ASKED, {**ASKED, "top_k": 7}, ASKED]
        return await asyncio.gather(*(client.post("/qa", json=body) for body in bodies))

    assert [reply.status_code for reply in calling(models, work)] == [200, 500, 200]


def test_health_metrics_and_documents(models):
    async def work(client, _):
        return {path: await client.get(path) for path in ("/health", "/metrics", "/openapi.json", "/docs", "/nowhere")}

    got = calling(models, work)
    assert got["/health"].json()["status"] == "ok"
    assert got["/metrics"].headers["content-type"].startswith("text/plain")
    assert got["/nowhere"].status_code == 404
    document = got["/openapi.json"].json()
    for route in ("/generate", "/qa"):
        examples = document["paths"][route]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert len(examples) == 2
        for example in examples.values():
            assert post(models, route, json=example["value"]).status_code == 200
    assert "swagger-ui" in got["/docs"].text


def test_swagger_ui_from_this_machine_if_it_is_installed(models, tmp_path, monkeypatch):
    from projects.onnx_serving.server import app as module

    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        (tmp_path / name).write_text("here")
    monkeypatch.setattr(module, "swagger_files", lambda: tmp_path)

    async def work(client, _):
        return (await client.get("/docs")).text, (await client.get("/docs/files/swagger-ui-bundle.js")).text

    page, script = calling(models, work)
    assert "/docs/files/swagger-ui-bundle.js" in page and "https://" not in page and script == "here"


CASES = 2000  # over the three routes with a body


class EndsAtOnce:
    """A decoder whose every row ends: the requests are what is tested here."""

    def __call__(self, input_ids, mask, positions, cache):
        logits = np.full((len(input_ids), 97), -50.0, dtype=np.float32)
        logits[:, 2] = 50.0
        return logits, cache

    def keep(self, cache, rows):
        return cache


def test_schemathesis_finds_no_5xx(models, lm_tokenizer):
    models = replace(models, writer=Writer(EndsAtOnce(), lm_tokenizer, KNOWN, longest=300))
    app = create_app(models, Settings())
    document = schemathesis.openapi.from_dict(app.openapi())
    statuses = Counter()
    with asyncio.Runner() as runner:
        context = app.router.lifespan_context(app)
        runner.run(context.__aenter__())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        for operation in (result.ok() for result in document.get_all_operations()):
            if operation.method == "post":
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    attempted(
                        operation.as_strategy(generation_mode=mode),
                        lambda case: runner.run(sent(client, case)),
                        statuses,
                    )
        runner.run(client.aclose())
        runner.run(context.__aexit__(None, None, None))
    assert statuses.total() >= CASES
    assert not {status for status in statuses if status >= 500}
    assert {200, 422} <= set(statuses)


async def sent(client, case):
    asked = case.as_transport_kwargs(base_url="http://test")
    known = {name: asked[name] for name in ("json", "content", "data", "params") if asked.get(name) is not None}
    if isinstance(known.get("data"), bytes | str):
        known["content"] = known.pop("data")
    headers = {name: value for name, value in dict(asked.get("headers") or {}).items() if value.isascii()}
    return (await client.request(asked["method"], asked["url"], headers=headers, **known)).status_code


def attempted(strategy, send, statuses):
    """A sixth of the cases: three routes, each with requests that fit the document and requests that do not."""

    @settings(
        max_examples=CASES // 6 + 1,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(strategy)
    def attempt(case):
        statuses[send(case)] += 1

    attempt()
