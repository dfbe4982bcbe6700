"""The service over HTTP: answers, bad input, feedback, updates, and what is counted and kept."""

import asyncio
import time
from dataclasses import replace

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from sqlalchemy import text as sql

from projects.news_cls.monitor.memory import held_out
from projects.news_cls.monitor.versions import Head, Versions
from projects.news_cls.server import service
from shared.errors import UserError
from tests.news_cls.conftest import TOKEN, client_of, news_rows

RIGHT = {"Authorization": f"Bearer {TOKEN}"}


def test_single_and_batch_say_the_same(client):
    texts = [text for text, _ in news_rows(6)]
    single = [client.post("/classify", json={"text": text, "top_k": 3}).json() for text in texts]
    batch = client.post("/classify/batch", json={"texts": texts, "top_k": 3}).json()["answers"]
    assert [each["topic"] for each in single] == [each["topic"] for each in batch]
    for one, other in zip(single, batch, strict=True):
        assert sum(each["probability"] for each in one["topics"]) == pytest.approx(1, abs=1e-6)
        for left, right in zip(one["topics"], other["topics"], strict=True):
            assert left["probability"] == pytest.approx(right["probability"], abs=1e-4)
    assert {each["version"] for each in single + batch} == {1}


def test_markup_is_no_difference(client):
    plain = client.post("/classify", json={"text": "bank shares profit"}).json()
    marked = client.post("/classify", json={"text": "<p>bank <b>shares</b></p><script>goal</script> profit"}).json()
    assert plain["topics"] == marked["topics"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": ""}, 422),
        ({"text": " \n "}, 422),
        ({"text": "x" * 100_001}, 422),
        ({"text": "a", "topk": 3}, 422),
        ({"text": 3}, 422),
        ({"text": "a", "top_k": 0}, 422),
        ({}, 422),
    ],
)
def test_what_does_not_fit_is_422_and_says_why(client, body, status):
    answer = client.post("/classify", json=body)
    assert answer.status_code == status and answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["reasons"] or answer.json()["detail"]


def test_two_megabytes_are_refused_and_other_scripts_are_answered(client):
    assert client.post("/classify", json={"text": "x " * 1_500_000}).status_code == 413
    assert client.post("/classify", json={"text": "word " * 400_000}).status_code == 422
    for text in ("新聞標題：股市上漲", "أخبار اليوم", "Новости дня", "🙂", "<div></div>", "<" * 50_000, "&" * 50_000):
        assert client.post("/classify", json={"text": text}).status_code == 200, text[:20]
    assert client.post("/classify", json={"text": "<div></div>"}).json()["unsure"] is True


def test_unknown_files_and_topics(client):
    assert client.get("/files/nowhere").status_code == 404
    assert client.get("/files/..%2f..%2fetc/result").status_code == 404
    refused = client.post("/feedback", json={"text": "bank", "label": "weather"})
    assert refused.status_code == 422 and "the topics are money, sport, tech" in refused.json()["detail"]
    assert client.post("/explain", json={"text": "bank", "topic": "weather"}).status_code == 422


def test_a_correction_of_nothing_teaches_nothing(client):
    refused = client.post("/feedback", json={"text": "<p></p>", "label": "sport"})
    assert refused.status_code == 422 and refused.json()["detail"] == "the text holds no word"
    assert client.get("/versions").json()["feedback_waiting"] == 0


def test_reasons_are_of_the_version_that_they_name(make_app):
    """An update that comes while they wait changes neither."""
    opened = make_app().state.service

    async def tried():
        await opened.start()
        before, _ = await opened.explain("bank shares", "money")
        waiting = asyncio.create_task(opened.explain("bank shares", "money"))
        await asyncio.sleep(0)
        own = opened.current()
        opened._take(replace(own, id=2, head=Head(own.head.weight * 2, own.head.bias + 5)))
        found, version = await waiting
        assert version == 1 and found.logit == pytest.approx(before.logit, abs=1e-4)
        assert (await opened.explain("bank shares", "money"))[1] == 2
        await opened.close()

    asyncio.run(tried())


def test_reasons_add_up(client):
    found = client.post("/explain", json={"text": "bank shares rose in the city today", "topic": "sport"}).json()
    assert found["topic"] == "sport" and [each["word"] for each in found["words"]][:2] == ["bank", "shares"]
    total = sum(each["score"] for each in found["words"])
    assert abs(total - (found["logit"] - found["baseline"])) <= 0.05 * abs(found["logit"] - found["baseline"]) + 1e-6


def test_only_who_has_the_token_updates(make_app):
    with client_of(make_app()) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}):
            assert client.post("/update", headers=headers).status_code == 403
            assert client.post("/rollback", headers=headers).status_code == 403
        assert client.post("/rollback", headers=RIGHT).status_code == 422
        assert client.post("/update", headers=RIGHT).status_code == 422
    with client_of(make_app(token="")) as client:
        assert client.post("/update", headers={"Authorization": "Bearer "}).status_code == 403


def test_feedback_teaches_and_the_version_that_answered_is_named(make_app):
    """Everything that was money is called sport from now on: on the past that is wrong, and the gate lets it not in."""
    with client_of(make_app()) as client:
        rows = news_rows(150, start=1000)
        for text, topic in rows:
            wrong = {"money": "sport", "sport": "money"}.get(topic, topic)
            assert client.post("/feedback", json={"text": text, "label": wrong}).status_code == 201
        assert client.get("/versions").json()["feedback_waiting"] == 150
        said = client.post("/update", headers=RIGHT).json()
        assert said["accepted"] is False and said["version"] == 1
        assert said["reason"] in ("loses the old", "does not gain on the new")
        known = client.get("/versions").json()
        assert known["current"] == 1 and known["feedback_waiting"] == 150
        assert [each["action"] for each in known["decisions"]] == ["refuse", "release"]
    assert 30 <= sum(held_out(text) for text, _ in rows) < 75


def test_going_back(make_app, tmp_path):
    with client_of(make_app()) as client:
        store = Versions(f"sqlite:///{tmp_path / 'service' / 'news.sqlite'}")
        first = store.current()
        told = {"labels": first.labels, "encoder": first.encoder, "temperature": 1.0, "unsure_below": 0.5}
        store.add(first.head, **told, action="release", reason="by hand", numbers={}, parent=1)
        store.close()
    with client_of(make_app()) as client:
        assert client.post("/classify", json={"text": "bank"}).json()["version"] == 2
        assert client.post("/rollback", headers=RIGHT).json()["version"] == 1
        assert client.post("/classify", json={"text": "bank"}).json()["version"] == 1
        assert client.post("/rollback", headers=RIGHT).status_code == 422


def test_a_server_follows_what_another_one_on_its_database_released(make_app, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "FOLLOW", 0.02)
    with client_of(make_app()) as client:
        store = Versions(f"sqlite:///{tmp_path / 'service' / 'news.sqlite'}")
        first = store.current()
        told = {"labels": first.labels, "encoder": first.encoder, "temperature": 1.0, "unsure_below": 0.5}
        store.add(first.head, **told, action="release", reason="by another", numbers={}, parent=1)
        last = time.monotonic() + 20
        while client.get("/ready").json()["version"] == 1 and time.monotonic() < last:
            time.sleep(0.02)
        assert client.post("/classify", json={"text": "bank"}).json()["version"] == 2
        assert client.get("/ready").json()["version"] == client.get("/versions").json()["current"] == 2
        store.close()


def test_a_database_of_another_model_and_a_folder_that_cannot_be_are_one_line(make_app, tmp_path):
    """They are raised before a server starts, whose own way of failing is a traceback."""
    make_app().state.service.versions.close()
    store = Versions(f"sqlite:///{tmp_path / 'service' / 'news.sqlite'}")
    with store._engine.begin() as connection:
        connection.execute(sql("UPDATE versions SET encoder = 'another'"))
    store.close()
    with pytest.raises(UserError, match="are of another model"):
        make_app()
    with store._engine.begin() as connection:
        connection.execute(sql("ALTER TABLE versions RENAME COLUMN head TO neck"))
    store.close()
    with pytest.raises(UserError, match="cannot be read: no such column"):
        make_app()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        make_app(data=tmp_path / "file" / "x", database=f"sqlite:///{tmp_path / 'other.sqlite'}")


def test_beyond_what_may_wait_there_is_503_with_retry_after(make_app):
    with client_of(make_app(waiting=3)) as client:
        refused = client.post("/classify/batch", json={"texts": ["a b c d"] * 4})
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert client.post("/classify/batch", json={"texts": ["a b c d"] * 3}).status_code == 200


def test_health_readiness_numbers_and_pages(client):
    assert client.get("/health").json()["status"] == "ok" and client.get("/ready").json()["version"] == 1
    assert "articles_waiting 0.0" in client.get("/metrics").text
    for language, text in (("es", "¿De qué tema"), ("en", "Which topic")):
        page = client.get(f"/?lang={language}")
        assert page.status_code == 200 and text in page.text
    assert client.get("/docs").status_code == 200


def test_every_example_of_the_document_works(client):
    document = client.get("/openapi.json").json()
    tried = 0
    for path, route in document["paths"].items():
        schema = route.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if schema:
            model = document["components"]["schemas"][schema["schema"]["$ref"].rsplit("/", 1)[1]]
            (example,) = model["examples"]
            answer = client.post(path, json=example)
            assert answer.status_code in (200, 201) or (path == "/feedback" and answer.status_code == 422), path
            tried += 1
    assert tried == 4


def test_no_request_makes_it_fail(make_app):
    """Requests that schemathesis makes of the document, fitting and not: none is a 5xx but for want of room."""
    app = make_app()
    document = schemathesis.openapi.from_dict(app.openapi())
    statuses = []
    with asyncio.Runner() as runner:
        context = app.router.lifespan_context(app)
        runner.run(context.__aenter__())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        inside = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=RIGHT)
        for operation in (result.ok() for result in document.get_all_operations()):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    attempted(operation.as_strategy(generation_mode=mode), inside, runner, statuses)
                except Unsatisfiable:
                    continue
        runner.run(inside.aclose())
        runner.run(context.__aexit__(None, None, None))
    assert len(statuses) > 100 and {200, 422} <= set(statuses)
    assert not [status for status in statuses if status >= 500]


def attempted(strategy, inside, runner, statuses):
    checks = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=checks)  # fmt: skip
    @given(case=strategy)
    def attempt(case):
        statuses.append(runner.run(sent(inside, case)))

    attempt()


async def sent(inside, case):
    asked = case.as_transport_kwargs(base_url="http://127.0.0.1")
    known = {name: asked[name] for name in ("json", "content", "data", "params") if asked.get(name) is not None}
    if isinstance(known.get("data"), bytes | str):
        known["content"] = known.pop("data")
    headers = {name: value for name, value in dict(asked.get("headers") or {}).items() if value.isascii()}
    headers = {name: value for name, value in headers.items() if name.lower() not in ("host", "authorization")}
    return (await inside.request(asked["method"], asked["url"], headers=headers, **known)).status_code
