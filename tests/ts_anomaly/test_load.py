"""The load test: it counts what was answered, and does not hide what came late."""

import io
import itertools
import os
from types import SimpleNamespace

from projects.ts_anomaly.measure import load
from shared.lab.load import paced
from shared.web.launch import Running


def test_pushes_are_counted_by_answer_and_lateness_counts(refusing):
    url, asked = refusing
    workers = [load.Worker(url, "a")]
    server = Running(url, SimpleNamespace(pid=os.getpid()), 0.0, io.StringIO())
    row = load._measured("x", server, workers, lambda pushes: paced(pushes, itertools.repeat(0.01), 0.3))
    assert len(asked) == 30 == sum(workers[0].counts.values()), "one worker sends all of them, late"
    assert row["refused_503"] == 0.5 and row["other"] == 0 and row["refused_429"] == 0
    assert row["p99_ms"] > 500, "of 30 pushes of 50 ms, due every 10 ms, the last ones waited a second"
    assert workers[0].at == 15 * load.BATCH, "what was refused is pushed again"
    assert asked[0].startswith(b"t,v\n0,")


def test_a_server_that_is_gone_is_counted_and_not_raised():
    worker = load.Worker("http://127.0.0.1:9", "a")
    worker.push(0.0)
    assert worker.counts == {0: 1} and not worker.seconds
