"""The load test: it counts what was answered, and does not hide what came late."""

import io
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from projects.ts_anomaly.measure import load
from shared.web.launch import Running


@pytest.fixture
def refusing():
    """A server that takes every second push, after a while."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(0.05)
            self.send_response(200 if len(asked) % 2 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_pushes_are_counted_by_answer_and_lateness_counts(refusing):
    url, asked = refusing
    workers = [load.Worker(url, "a")]
    server = Running(url, SimpleNamespace(pid=os.getpid()), 0.0, io.StringIO())
    row = load._measured("x", server, workers, lambda own: load._open(own, 100.0, 0.3))
    assert len(asked) == 30 == sum(workers[0].counts.values()), "one worker sends all of them, late"
    assert row["refused_503"] == 0.5 and row["other"] == 0 and row["refused_429"] == 0
    assert row["p99_ms"] > 500, "of 30 pushes of 50 ms, due every 10 ms, the last ones waited a second"
    assert workers[0].at == 15 * load.BATCH, "what was refused is pushed again"
    assert asked[0].startswith(b"t,v\n0,")


def test_a_server_that_is_gone_is_counted_and_not_raised():
    worker = load.Worker("http://127.0.0.1:9", "a")
    worker.push(0.0)
    assert worker.counts == {0: 1} and not worker.seconds
