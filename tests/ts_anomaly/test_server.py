"""The server: what is accepted is on disk, limits, errors, the document, the page in a browser."""

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from projects.ts_anomaly.server import schemas
from projects.ts_anomaly.server.app import PAGES, create_app
from projects.ts_anomaly.server.service import Monitor
from projects.ts_anomaly.server.settings import PREFIX, Settings
from shared.errors import UserError
from shared.lab.browser import faults_everywhere, served
from shared.web.launch import running
from shared.web.pages import read_texts
from shared.web.problems import BusyError
from shared.web.settings import from_environment
from tests.ts_anomaly.conftest import faulty


def points(values, start=0):
    return {"points": [{"time": 60 * (start + n), "values": [v]} for n, v in enumerate(values)]}


@pytest.fixture
def client(detector, given_settings):
    with TestClient(create_app(detector, given_settings)) as opened:
        yield opened


def test_points_are_taken_judged_and_shown(client):
    assert client.post("/v1/series/cpu/points", json=points(faulty())).json()["accepted"] == 400
    found = client.get("/v1/series/cpu").json()
    assert found["warming"] == 0 and len(found["shown"]) == 272 and found["automatic"]
    steps = [each["step"] for each in found["told"] if each["kind"] == "opened" and each["severity"] == "high"]
    assert 350 - 127 in steps, "the step counts from the last warming point"
    more = client.get("/v1/series/cpu", params={"since": found["shown"][-3]["step"]}).json()
    assert len(more["shown"]) == 2
    assert client.get("/v1/series").json()[0]["name"] == "cpu"


def test_a_threshold_moves_by_hand_and_back(client):
    client.post("/v1/series/cpu/points", json=points(faulty()))
    automatic = client.get("/v1/series/cpu").json()["threshold"]
    assert client.put("/v1/series/cpu/threshold", json={"threshold": 0.0}).json() == {"threshold": 0.0}
    client.post("/v1/series/cpu/points", json=points([0.5], 400))
    last = client.get("/v1/series/cpu").json()
    assert last["shown"][-1]["alarm"] and not last["automatic"]
    assert client.put("/v1/series/cpu/threshold", json={"threshold": None}).json()["threshold"] == pytest.approx(
        automatic
    )


def test_the_same_points_twice_are_dropped_and_gaps_are_null(client):
    client.post("/v1/series/a/points", json=points(faulty()))
    again = client.post("/v1/series/a/points", json=points([*faulty()[-3:], None], 397)).json()
    assert (again["accepted"], again["dropped"]) == (1, 3)
    assert client.get("/v1/series/a").json()["shown"][-1]["values"] == [None]


def test_csv_and_prometheus_come_in(client):
    text = "t;v\n" + "".join(f"{60 * n};{str(v).replace('.', ',')}\n" for n, v in enumerate(faulty()))
    answer = client.post("/v1/series/a b/csv", content=text, headers={"Content-Type": "text/csv"})
    assert answer.json()["accepted"] == 400
    assert client.post("/v1/series/a/csv", content=text).status_code == 415
    values = [[60 * n, str(v)] for n, v in enumerate(faulty())]
    result = {"metric": {"__name__": "cpu", "host": "x"}, "values": values}
    body = {"status": "success", "data": {"resultType": "matrix", "result": [result]}}
    assert client.post("/v1/prometheus", json=body).json()['cpu{host="x"}']["accepted"] == 400
    assert {each["name"] for each in client.get("/v1/series").json()} == {"a b", 'cpu{host="x"}'}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/series/a/points", {"points": []}, 422),
        ("POST", "/v1/series/a/points", {"points": [{"time": 0, "values": ["x"]}]}, 422),
        ("POST", "/v1/series/a/points", {"points": [{"time": 0, "values": [1]}, {"time": 1, "values": [1, 2]}]}, 422),
        ("POST", "/v1/prometheus", {"status": "error", "error": "no"}, 422),
        ("GET", "/v1/series/none", None, 404),
        ("PUT", "/v1/series/none/threshold", {"threshold": 1}, 404),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_what_does_not_fit_is_a_problem(client, method, path, body, status):
    answer = client.request(method, path, json=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"


def test_limits_hold(detector, tmp_path):
    small = Settings(data=tmp_path, warm=128, series=2, rate=100_000.0)
    with TestClient(create_app(detector, small)) as client:
        assert [client.post(f"/v1/series/{n}/points", json=points([1.0])).status_code for n in "abc"] == [200, 200, 422]
        large = b'{"points": [' + b" " * 9_000_000 + b"]}"
        assert client.post("/v1/series/a/points", content=large).status_code == 413


def test_too_many_pushes_that_wait_are_refused_saying_when(detector, tmp_path):
    app = create_app(detector, Settings(data=tmp_path, warm=128, waiting=1))
    monitor = app.state.monitor
    with monitor._turn(), pytest.raises(BusyError):
        monitor.push("a", [])
    with TestClient(app) as client, monitor._turn():
        answer = client.post("/v1/series/a/points", json=points([1.0]))
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"


def test_settings_are_refused_in_one_line():
    with pytest.raises(UserError, match="TS_ANOMALY_WARM"):
        from_environment(Settings, PREFIX, {"TS_ANOMALY_WARM": "3"})


# ---------------------------------------------------------------- what is acknowledged


def test_a_full_disk_takes_nothing_by_halves(client, monkeypatch):
    from projects.ts_anomaly.server import journal, service

    client.post("/v1/series/a/points", json=points(faulty()))
    monitor = client.app.state.monitor
    path = monitor._path("a", "jsonl")
    before = path.read_bytes()

    def full(*_, **__):
        path.write_bytes(path.read_bytes() + b"[[24000.0, 1")  # as far as it went
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        answer = client.post("/v1/series/a/points", json=points([1.0], 400))
        assert answer.status_code == 503 and "nothing was accepted" in answer.json()["detail"]
        assert path.read_bytes() == before
    with monkeypatch.context() as patch:  # the journal takes it, the state does not
        patch.setattr(service, "SAVE_EVERY", 1)
        patch.setattr(service, "save_watch", full)
        assert client.post("/v1/series/a/points", json=points([1.0], 400)).json()["accepted"] == 1
        assert client.put("/v1/series/a/threshold", json={"threshold": 3.0}).status_code == 503
        assert client.get("/v1/series/a").json()["automatic"], "a threshold that is not kept is not in force"


def test_a_series_without_values_waits_and_does_not_end_the_server(client, trained, given_settings):
    import copy

    nothing = {"points": [{"time": 60 * n, "values": [n % 7, None]} for n in range(5000)]}
    assert client.post("/v1/series/gone/points", json=nothing).json()["accepted"] == 5000
    found = client.get("/v1/series/gone").json()
    assert 0 < found["warming"] <= 128 and found["threshold"] is None
    monitor = client.app.state.monitor
    assert monitor._path("gone", "jsonl").stat().st_size < 10_000, "its journal holds what warms up, and no more"
    again = Monitor(copy.deepcopy(trained), given_settings)
    assert again.series["gone"].last == monitor.series["gone"].last
    there = {"points": [{"time": 60 * (5000 + n), "values": [n % 7, n % 5]} for n in range(300)]}
    assert client.post("/v1/series/gone/points", json=there).json()["accepted"] == 300
    assert client.get("/v1/series/gone").json()["warming"] == 0


def test_a_clock_that_runs_ahead_does_not_make_what_follows_old(client):
    rows = f"t,v\n0,1\n{time.time() + 10**6},2\n60,3\n"
    answer = client.post("/v1/series/a/csv", content=rows, headers={"Content-Type": "text/csv"}).json()
    assert (answer["accepted"], answer["dropped"]) == (2, 1)


def test_what_one_push_may_hold_is_bounded_in_every_form(client):
    wide = "t," + ",".join(map(str, range(65))) + "\n0" + ",1" * 65
    long = "t,v\n" + "".join(f"{n},1\n" for n in range(schemas.MOST_POINTS + 1))
    for text in (wide, long):
        answer = client.post("/v1/series/a/csv", content=text, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 422 and "push in parts" in answer.json()["detail"]
    assert client.get("/v1/series").json() == []


def test_labels_of_prometheus_with_slashes_make_a_series_that_can_be_asked_for(client):
    metric = {"__name__": "disk", "mountpoint": "/", "url": "http://x/y?z#q", "long": "n" * 300}
    values = [[60 * n, str(v)] for n, v in enumerate(faulty())]
    body = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": metric, "values": values}]}}
    (name,) = client.post("/v1/prometheus", json=body).json()
    asked = f"/v1/series/{quote(name, safe='')}"
    assert client.get(asked).json()["name"] == name
    assert client.put(f"{asked}/threshold", json={"threshold": 4.0}).json() == {"threshold": 4.0}
    assert client.post("/v1/series/%2E%2E/points", json=points([1.0])).status_code == 422


def test_one_thread_judges_whoever_asks(client, monkeypatch):
    seen = set()
    monitor = client.app.state.monitor
    taken = monitor._take
    monkeypatch.setattr(monitor, "_take", lambda *told: (seen.add(threading.get_ident()), taken(*told))[1])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.post(f"/v1/series/{n}/points", json=points([1.0])), range(16)))
    assert {answer.status_code for answer in answers} == {200} and len(seen) == 1


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_acknowledged(model, tmp_path):
    options = {"model": model, "data": tmp_path, "warm": 128, "rate": 10_000}
    accepted, values = 0, faulty(600)
    for _ in range(2):
        with running("projects.ts_anomaly.server", PREFIX, options) as server, httpx.Client(timeout=20) as client:
            for _ in range(15):
                body = points(values[accepted : accepted + 10], accepted)
                accepted += client.post(f"{server.url}/v1/series/cpu/points", json=body).json()["accepted"]
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
    with running("projects.ts_anomaly.server", PREFIX, options) as server:
        with (
            pytest.raises(UserError, match="is being written by another process"),
            running("projects.ts_anomaly.server", PREFIX, options),
        ):
            pass
        found = httpx.get(f"{server.url}/v1/series/cpu", timeout=20).json()
        metrics = httpx.get(f"{server.url}/metrics", timeout=20).text
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0 and time.monotonic() - begun < 20
    assert accepted == 300 and found["points"] == 300 - 127
    assert "anomaly_series 1.0" in metrics


# ---------------------------------------------------------------- the document


def test_no_request_made_from_the_document_is_an_error_of_ours(client):
    schema = schemathesis.openapi.from_dict(client.app.openapi())
    calm = settings(max_examples=12, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck), derandomize=True)  # fmt: skip
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            strategy = operation.as_strategy(generation_mode=mode)

            @calm
            @given(case=strategy)
            def ask(case):
                request = case.as_transport_kwargs(base_url="http://testserver")
                request.pop("cookies", None)
                if isinstance(request.get("data"), str | bytes):
                    request["content"] = request.pop("data")
                answer = client.request(**request)
                assert answer.status_code < 500 or answer.status_code == 503

            try:
                ask()
            except Unsatisfiable:
                continue


def test_the_examples_of_the_document_work(client):
    document = client.app.openapi()
    for path, operations in document["paths"].items():
        for method, told in operations.items():
            for media, content in told.get("requestBody", {}).get("content", {}).items():
                schema = content.get("schema", {})
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
                example = content.get("example") or schema["examples"][0]
                if method == "put":
                    client.post("/v1/series/cpu/points", json=points(faulty()))
                body = example if isinstance(example, str) else json.dumps(example)
                answer = client.request(method, path.format(name="cpu"), content=body, headers={"Content-Type": media})
                assert answer.status_code == 200, (path, answer.text)


# ---------------------------------------------------------------- the page


@pytest.mark.browser
def test_the_page_shows_faults_and_moves_a_threshold_in_both_languages(detector, tmp_path, chromium):
    app = create_app(detector, Settings(data=tmp_path, warm=128, rate=100_000.0, chance=1e-4))
    with served(app) as address:
        httpx.post(f"{address}/v1/series/cpu/points", json=points(faulty()))
        httpx.post(f"{address}/v1/series/<b>x</b>/points".replace("/b", "%2Fb"), json=points([1.0]))
        with chromium.new_context(locale="en-GB", viewport={"width": 1200, "height": 900}) as context:
            page = context.new_page()
            page.goto(address)
            page.locator("#chart path.values").wait_for(state="attached")
            page.locator("#events tbody tr", has_text="begins").first.wait_for()
            assert page.locator("#chart rect.alarm").count() >= 1
            page.locator("#slider").focus()
            page.keyboard.press("Home")
            page.get_by_text("No alarm").or_(page.get_by_text("An alarm is going on")).first.wait_for()
            page.wait_for_timeout(1500)
            assert httpx.get(f"{address}/v1/series/cpu").json()["threshold"] == 0.0
            page.get_by_role("link", name="Español").click()
            page.get_by_role("heading", name="Series bajo vigilancia").or_(
                page.get_by_role("heading", name="Vigilancia de series")
            ).wait_for()
            page.locator("#events tbody tr", has_text="empieza").filter(has_text="canal 0: ").first.wait_for()
        assert faults_everywhere(chromium, f"{address}/") == []


def test_every_text_that_the_script_says_is_there():
    texts = read_texts(PAGES / "texts.toml")
    code = (PAGES / "static" / "watch.mjs").read_text()
    import re
    from typing import get_args

    from projects.ts_anomaly.models.detectors import HEADS
    from projects.ts_anomaly.monitor.watch import Alert
    from projects.ts_anomaly.scoring.events import Severity

    assert all(f"watch.{name}" in texts for name in re.findall(r'say\("(\w+)"', code))
    assert all(f"watch.kind_{kind}" in texts for kind in get_args(Alert.__annotations__["kind"]))
    assert all(f"watch.severity_{name}" in texts for name in get_args(Severity))
    assert all(f"watch.head_{name}" in texts for name in HEADS), "why an event began is said in both languages"
