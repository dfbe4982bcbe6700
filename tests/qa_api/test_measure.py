"""The measurements: they count what was answered, do not hide what came late, and notice what is wrong."""

import itertools
import json
import os
from io import StringIO
from types import SimpleNamespace

import pytest

from projects.qa_api.measure import freshness, load, searches
from projects.qa_api.measure.clients import Client, until
from shared.lab.load import paced, taking
from shared.web.launch import Running

SMALL = {"module": "projects.qa_api.measure.small", "dataset": "none"}


def test_questions_are_counted_by_answer(refusing):
    url, asked = refusing
    server, take = Running(url, SimpleNamespace(pid=os.getpid()), 0.0, StringIO()), taking(map(str, itertools.count()))
    row = load._phase("x", server, "key", 1, take, lambda asks: paced(asks, itertools.repeat(0.01), 0.3))
    assert len(asked) == 30 and len({json.loads(each)["question"] for each in asked}) == 30
    assert row["refused_503"] == 0.5 and row["other"] == 0


def test_a_server_that_is_gone_is_status_0():
    assert Client("http://127.0.0.1:9", "key").call("GET", "/ready") == (0, None)


def test_waiting_by_hand():
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
