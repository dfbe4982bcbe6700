"""The service over HTTP: answers, bad input, files, feedback, updates, and what is counted and kept."""

import asyncio
import csv
import errno
import io
import threading
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
from projects.news_cls.server import files, service
from projects.news_cls.server.queue_of_texts import UPDATES, TextQueue
from shared.errors import UserError
from tests.news_cls.conftest import TOKEN, client_of, news_rows

RIGHT = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(make_app):
    with client_of(make_app()) as opened:
        yield opened


def finished(client, name, seconds=20):
    return until(client, name, lambda state: state["finished"], seconds)


def until(client, name, reached, seconds=20):
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        state = client.get(f"/files/{name}").json()
        if reached(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"it never came to that: {state}")


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


def test_a_file_is_classified_and_its_rows_come_back_in_order(client):
    rows = news_rows(70)
    content = "\ufeffid,text\n" + "".join(f"{number},{text}\n" for number, (text, _) in enumerate(rows))
    sent = client.post("/files", content=content.encode(), headers={"Content-Type": "text/csv"})
    assert sent.status_code == 202 and sent.json()["rows"] == 70
    state = finished(client, sent.json()["id"])
    assert state["done"] == 70 and state["version"] == 1
    out = list(csv.DictReader(io.StringIO(client.get(f"/files/{state['id']}/result").text)))
    assert [row["id"] for row in out] == [str(number) for number in range(70)]
    single = client.post("/classify", json={"text": rows[5][0]}).json()["topic"]
    assert out[5]["topic"] == single and set(out[0]) == {"id", "text", "topic", "probability", "unsure"}


def test_formulas_in_a_file_come_back_as_text(client):
    sent = client.post("/files?column=t", content=b't\n"=HYPERLINK(""http://x"")"\n@SUM(1)\n').json()
    state = finished(client, sent["id"])
    out = list(csv.DictReader(io.StringIO(client.get(f"/files/{state['id']}/result").text)))
    assert [row["t"][0] for row in out] == ["'", "'"]


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (b"", "text", "no rows"),
        (b"text\n", "text", "no rows"),
        (b"a,b\n1,2\n", "text", "there is no column 'text'; the columns are a, b"),
        (b"a," * 99 + b"b\n", "text", "a, a, …"),
        (b"text\ncaf\xe9\n", "text", "line 2: not UTF-8"),
        (b"text,x\na\n", "text", "line 2: 1 fields"),
        (b'text\n"never closed\n', "text", "not a CSV file"),
        (b"text\n \n", "text", "line 2: 'text' is empty"),
        (b"text,text\na,b\n", "text", "two columns"),
        (b"text\na\0b\n", "text", "zero bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(client, content, column, said):
    answer = client.post(f"/files?column={column}", content=content)
    assert answer.status_code == 422 and said in answer.json()["detail"]


@pytest.mark.parametrize("name", ["write_text", "write_json"])
def test_a_full_disk_refuses_a_file_in_one_line(client, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, name, full)
    answer = client.post("/files", content=b"text\nbank shares\n")
    assert answer.status_code == 422 and "cannot be stored: No space left" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(errno.ENOSPC, "No space left on device"), "No space left"), (RuntimeError("bank"), "its log says why")],
)
def test_a_file_that_stops_says_so_and_goes_on_at_the_next_start(make_app, monkeypatch, error, said):
    with client_of(make_app()) as client:
        with monkeypatch.context() as broken:
            broken.setattr(files.csv, "writer", lambda *_, **__: raised(error))
            sent = client.post("/files", content=b"text\nbank shares\n").json()
            state = until(client, sent["id"], lambda state: state["problem"])
        assert said in state["problem"] and not state["finished"] and state["rows"] == 1
    with client_of(make_app()) as client:
        assert finished(client, sent["id"])["problem"] == ""


def raised(error):
    raise error


def test_a_stored_file_that_was_damaged_stops_neither_the_server_nor_the_others(make_app, tmp_path):
    folder = tmp_path / "service" / "files"
    folder.mkdir(parents=True)
    stored = {"a": ("text\nbank\n", '{"column": "text"}'), "b": ("text\nbank\n", "{"), "c": ("text\nbank\n", "{}"),
              "d": ("text\nbank\n", "[]"), "e": ("other\nbank\n", '{"column": "text"}')}  # fmt: skip
    for name, (rows, told) in stored.items():
        (folder / f"{name * 16}.csv").write_text(rows)
        (folder / f"{name * 16}.json").write_text(told)
    with client_of(make_app()) as client:
        assert finished(client, "a" * 16)["done"] == 1
        for name in "bcde":
            assert "cannot be read" in client.get(f"/files/{name * 16}").json()["problem"]


def test_files_that_somebody_removed_make_room(make_app, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 1)
    with client_of(make_app()) as client:
        first = finished(client, client.post("/files", content=b"text\nbank\n").json()["id"])
        refused = client.post("/files", content=b"text\nbank\n")
        assert refused.status_code == 422 and "remove some of files/" in refused.json()["detail"]
        for path in (tmp_path / "service" / "files").glob(f"{first['id']}*"):
            path.unlink()
        assert client.post("/files", content=b"text\nbank\n").status_code == 202
        assert client.get(f"/files/{first['id']}").status_code == 404


def test_rows_of_a_finished_file_are_not_kept_in_memory(make_app):
    app = make_app()
    with client_of(app) as client:
        state = finished(client, client.post("/files", content=b"text\nbank\ngoal\n").json()["id"])
        assert state["rows"] == 2
        until(client, state["id"], lambda _: app.state.service.files.get(state["id"]).rows == [])


def test_files_leave_room_for_people_and_need_not_fit_into_what_may_wait():
    """Work that nobody waits for has half of what may wait, however much there is of it."""
    begun, go = threading.Event(), threading.Event()

    def work(batch):
        begun.set()
        assert go.wait(10)
        return batch

    async def tried():
        queue = TextQueue(work, at_once=1, waiting=8)
        queue.start()
        jobs = [asyncio.create_task(queue.when_free([f"{job}.{n}" for n in range(5)])) for job in range(8)]
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.sleep(0.2)
        assert queue.depth <= 4
        update = asyncio.create_task(queue.when_free(["update"] * 3, UPDATES))
        await asyncio.sleep(0.2)
        assert 4 < queue.depth <= 6, "an update waits for no file to end"
        person = asyncio.create_task(queue.submit(["person"] * 2))
        await asyncio.sleep(0)
        go.set()
        assert await person == ["person"] * 2 and await update == ["update"] * 3
        assert [await job for job in jobs] == [[f"{job}.{n}" for n in range(5)] for job in range(8)]
        await queue.stop()

    asyncio.run(tried())


def test_a_file_that_was_accepted_survives_a_kill(make_app, tmp_path):
    """What a process leaves that is killed between accepting and finishing: the upload, and no answer."""
    folder = tmp_path / "service" / "files"
    folder.mkdir(parents=True)
    (folder / f"{'a' * 16}.csv").write_text("text\nbank shares\ngoal match\n")
    (folder / f"{'a' * 16}.json").write_text('{"column": "text"}')
    with client_of(make_app()) as client:
        assert finished(client, "a" * 16)["done"] == 2
    with client_of(make_app()) as client:
        assert client.get(f"/files/{'a' * 16}").json()["finished"]


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
