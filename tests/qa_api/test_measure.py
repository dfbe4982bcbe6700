"""The measurements: they count what was answered, do not hide what came late, and notice what is wrong."""

import itertools
import json
import os
from io import StringIO
from types import SimpleNamespace

import pytest

from projects.qa_api.measure import freshness, load, searches
from projects.qa_api.measure.clients import Line, quantile, until
from shared.web.launch import Running

SMALL = {"module": "projects.qa_api.measure.small", "dataset": "none"}


def test_questions_are_counted_by_answer_and_lateness_counts(refusing):
    url, asked = refusing
    server = Running(url, SimpleNamespace(pid=os.getpid()), 0.0, StringIO())
    numbered = map(str, itertools.count())
    row = load._phase("x", server, "key", 1, lambda lines, one: load._open(lines, one, numbered, 100.0, 0.3))
    assert len(asked) == 30 and len({json.loads(each)["question"] for each in asked}) == 30
    assert row["refused_503"] == 0.5 and row["other"] == 0
    assert row["p99_ms"] > 500, "of 30 questions of 50 ms, due every 10 ms, the last ones waited a second"


def test_a_server_that_is_gone_is_status_0():
    assert Line("http://127.0.0.1:9", "key").send("GET", "/ready") == (0, None)


def test_a_connection_that_rested_is_made_anew(refusing, monkeypatch):
    """A server hangs up on who rests; that is no failure of the server's."""
    url, asked = refusing
    line, now = Line(url, "key"), [100.0]
    monkeypatch.setattr("projects.qa_api.measure.clients.time", SimpleNamespace(monotonic=lambda: now[0]))
    line.send("POST", "/", {})
    first = line._http.sock
    line.send("POST", "/", {})
    assert line._http.sock is first
    now[0] += 4
    assert line.send("POST", "/", {})[0] == 200 and line._http.sock is not first and len(asked) == 3
    line.close()


def test_quantiles_and_waiting_by_hand():
    assert quantile([0.3, 0.1, 0.2], 0.5) == 200.0 and quantile([], 0.99) == 0.0
    seen = iter([False, False, True])
    assert until(lambda: next(seen)) < 1 and until(lambda: False, 0.02) >= 0.02


def test_no_question_of_a_load_comes_twice():
    asked = list(itertools.islice(load.questions(), 6_000))
    assert len(set(asked)) == 6_000


@pytest.mark.slow
def test_a_small_service_under_load_beside_rebuilds_and_fresh():
    rows = load.rows(None, seconds=1.0, **SMALL)
    assert [each["load"] for each in rows] == [
        "as fast as answered",
        "half the capacity",
        "70 % of the capacity",
        "twice the capacity",
    ]
    assert all(each["other"] == 0 and each["answered_a_second"] > 0 for each in rows)
    quiet, beside = searches.rebuilding(None, seconds=1.0, **SMALL)
    assert quiet["rebuilds"] == 0 < beside["rebuilds"] and quiet["searches"] == beside["searches"] == 10
    steps = {each["step"]: each["within_1_s"] for each in freshness.rows(None, 3, **SMALL)}
    assert len(steps) == 4 and all(steps.values())  # how many in a second is measured, not asserted
