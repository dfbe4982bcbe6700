"""What stands before every route: ids, headers, logs without content, limits, problems."""

import asyncio
import json
import logging

import pytest
from starlette.testclient import TestClient

from shared.web import front, logs
from shared.web.limits import Limiter
from tests.web.probe import SECRET, make


@pytest.fixture
def lines(caplog):
    logs.LOGGER.propagate = True
    with caplog.at_level(logging.INFO, logs.LOGGER.name):
        yield lambda: [record.fields for record in caplog.records if record.name == logs.LOGGER.name]
    logs.LOGGER.propagate = False


@pytest.mark.parametrize("path", ["/", "/fails", "/busy", "/nowhere", "/static/shared/base.css", "/metrics"])
def test_every_answer_has_an_id_and_the_security_headers(client, path):
    answer = client.get(path)
    assert {name: answer.headers[name] for name in front.HEADERS} == front.HEADERS
    assert front.ID.fullmatch(answer.headers["X-Request-ID"])
    assert "unsafe" not in front.POLICY and "http" not in front.POLICY


def test_the_clients_own_id_is_kept_if_it_is_one(client):
    assert client.get("/", headers={"X-Request-ID": "trace-0123456"}).headers["X-Request-ID"] == "trace-0123456"
    for bad in ("short", "has spaces in it", "x" * 65, 'quote"quote"'):
        assert client.get("/", headers={"X-Request-ID": bad}).headers["X-Request-ID"] != bad


def test_an_error_that_nobody_caught_is_a_problem_whose_cause_is_in_the_log_alone(client, lines):
    answer = client.get("/fails")
    assert answer.status_code == 500 and answer.headers["Content-Type"] == "application/problem+json"
    assert SECRET not in answer.text and answer.json()["request_id"] == answer.headers["X-Request-ID"]
    failed = next(each for each in lines() if each["event"] == "failed")
    assert failed["error"] == "RuntimeError" and failed["id"] == answer.json()["request_id"]
    assert failed["at"][-1].startswith("probe.py:") and SECRET not in json.dumps(lines())


def test_half_an_answer_is_not_followed_by_another(lines):
    """The status is sent already: the error goes on to the server, which closes the connection."""
    sent = []

    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(SECRET)

    async def keep(message):
        sent.append(message)

    envelope = front.Envelope(half, observe=lambda *_: None, page=None)
    with pytest.raises(RuntimeError):
        asyncio.run(envelope({"type": "http", "method": "GET", "path": "/", "headers": []}, None, keep))
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert [each["event"] for each in lines()] == ["failed", "request"]


def test_logs_hold_no_content_no_query_and_no_address(client, lines):
    client.post(f"/echo/{SECRET}?q={SECRET}", json={"text": SECRET}, headers={"Cookie": f"a={SECRET.replace(' ', '')}"})
    client.post("/echo/a", json={"text": 3, SECRET: 1})
    shown = json.dumps(lines())
    assert "words" not in shown and "testclient" not in shown
    assert [each["route"] for each in lines()] == ["/echo/{kind}"] * 2
    assert [each["status"] for each in lines()] == [200, 422]


def test_a_line_of_log_has_no_other_fields():
    with pytest.raises(ValueError, match="no field of a log line: text"):
        logs.line(text="what somebody wrote")


def test_a_log_line_is_json(capsys):
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "created": 0.0, "fields": {"event": "request"}})
    expected = {"time": "1970-01-01T00:00:00Z", "level": "INFO", "event": "request"}
    assert json.loads(logs.JsonLines().format(record)) == expected


@pytest.mark.parametrize(("path", "most"), [("/echo/a", 2000), ("/raw", 5000)])
def test_a_body_is_refused_by_its_header_and_by_its_bytes(client, path, most):
    assert client.post("/raw", content=b"x" * 5000).json() == 5000
    for body in (b"x" * (most + 1), iter([b"x" * 1000] * (most // 1000 + 1))):  # the second says no length
        answer = client.post(path, content=body)
        assert answer.status_code == 413 and answer.json()["detail"] == f"the body has more than {most} bytes"


def test_a_body_that_only_claims_to_be_large_is_refused_unread(client):
    answer = client.post("/raw", content=b"x", headers={"Content-Length": "99999999999999999999"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "where"),
    [(b'{"text": 3}', "body.text"), (b'{"text": "a", "times": "many"}', "body.times"), (b"{", "body"), (b"\xff{}", "")],
)
def test_what_does_not_fit_is_told_without_repeating_it(client, body, where):
    answer = client.post("/echo/a", content=body, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert answer.status_code in (400, 422) and problem["status"] == answer.status_code
    assert where in "".join(reason["where"] for reason in problem["reasons"])
    assert "many" not in answer.text


def test_half_a_surrogate_pair_is_no_failure(client):
    answer = client.post("/echo/a", content=b'{"text": "\\ud800"}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    answer = client.post("/echo/a", content=b'{"\\ud800": 1}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_busy_says_when_to_come_back(client):
    answer = client.get("/busy")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    assert answer.json()["detail"] == "three wait already"


def test_a_client_that_asks_too_often_is_refused_and_files_are_free():
    with TestClient(make(rate=0.5, burst=3)) as client:
        statuses = [client.get("/").status_code for _ in range(4)]
        answer = client.get("/")
        assert statuses == [200, 200, 200, 429] and answer.headers["Retry-After"] == "2"
        assert client.get("/static/shared/base.css").status_code == 200
        assert client.get("/", headers={"X-Forwarded-For": "10.1.1.1"}).status_code == 429


def test_metrics_count_routes_and_not_addresses(client):
    client.get("/nowhere/1")
    client.post("/echo/anything", json={"text": "a"})
    shown = client.get("/metrics").text
    assert 'requests_total{route="/echo/{kind}",status="200"} 1.0' in shown
    assert 'requests_total{route="other",status="404"} 1.0' in shown and "nowhere" not in shown


# ---------------------------------------------------------------- the bucket


def test_a_bucket_gives_its_burst_then_its_rate():
    now = [0.0]
    limiter = Limiter(2.0, 3, clock=lambda: now[0])
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 1]
    now[0] = 0.5  # one token more
    assert [limiter.take("a"), limiter.take("a"), limiter.take("b")] == [0, 1, 0]
    now[0] = 100.0  # never more than the burst
    assert [limiter.take("a") for _ in range(4)] == [0, 0, 0, 1]


def test_over_a_long_time_no_more_is_taken_than_burst_and_rate_allow():
    now = [0.0]
    limiter = Limiter(3.0, 5, clock=lambda: now[0])
    taken = 0
    for step in range(10_000):
        now[0] = step / 1000
        taken += limiter.take("a") == 0
    assert taken in (34, 35)  # 5 + 3 × 9.999


def test_a_refused_request_says_after_which_time_one_is_taken():
    now = [0.0]
    limiter = Limiter(0.25, 1, clock=lambda: now[0])
    limiter.take("a")
    wait = limiter.take("a")
    now[0] = wait - 0.01
    assert limiter.take("a") > 0
    now[0] = float(wait)
    assert limiter.take("a") == 0


def test_a_flood_of_clients_is_forgotten_from_its_oldest_on():
    limiter = Limiter(0.001, 1, clients=100, clock=lambda: 0.0)
    for number in range(1000):
        limiter.take(str(number))
    assert len(limiter) == 100 and limiter.take("999") > 0 and limiter.take("0") == 0
