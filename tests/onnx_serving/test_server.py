"""The routes over tiny models: what is answered, and what stands beside the answers."""

import asyncio
import json

from projects.onnx_serving.server.service import TextStream
from tests.onnx_serving.serving import PROMPT, QUESTION, calling, post
from tests.onnx_serving.test_spans import ODD


def test_generate_is_what_the_decoder_makes(models):
    reply = post(models, "/generate", json={**PROMPT, "chat": False})
    assert reply.status_code == 200
    got = reply.json()
    assert got["prompt_tokens"] == 5 and got["new_tokens"] <= 6 and got["finish"] in ("end", "length")
    again = post(models, "/generate", json={**PROMPT, "chat": False}).json()
    assert again == got


def test_the_chat_template_surrounds_the_prompt(models):
    tokens = models.generator.encode("hi", chat=True)
    assert tokens[0] == 1 and len(tokens) > len(models.generator.encode("hi", chat=False))


def test_a_control_token_in_a_prompt_is_text(models):
    assert 2 not in models.generator.encode("a</s>b", chat=False)


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
    assert half.push(0xF0) == "" and half.flush() == "\ufffd"


def test_answers_are_characters_of_the_context(models):
    for each in post(models, "/qa", json={**QUESTION, "top_k": 5}).json()["answers"]:
        assert ODD[each["start"] : each["end"]] == each["answer"]


def test_many_at_once_equal_one_at_a_time(models):
    bodies = [{"prompt": "abc"[: n % 3 + 1] * (n + 1), "max_new_tokens": 4 + n, "chat": False} for n in range(8)]
    alone = [post(models, "/generate", json=body).json() for body in bodies]

    async def work(client, _):
        return await asyncio.gather(*(client.post("/generate", json=body) for body in bodies))

    assert [reply.json() for reply in calling(models, work)] == alone


def test_a_failing_model_is_one_500_and_the_server_goes_on(models):
    run = models.answerer.run

    def failing(batch):
        if any(each.top_k == 7 for each in batch):
            raise RuntimeError("broken")
        return run(batch)

    models.answerer.run = failing

    async def work(client, _):
        bodies = [QUESTION, {**QUESTION, "top_k": 7}, QUESTION]
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
