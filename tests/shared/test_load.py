"""Load on a server: every request is counted, what comes late is late, and connections that rested are made anew."""

import itertools
import threading
from types import SimpleNamespace

from shared.lab import load
from shared.lab.load import Line, Tally, closed, paced, quantile, taking


def asking(line, tally):
    def ask(due):
        status, _ = line.send("POST", "/", b"{}")
        tally.add(status, due)

    return ask


def test_lateness_counts_at_a_pace(refusing):
    url, asked = refusing
    tally, line = Tally(), Line(url)
    took = paced([asking(line, tally)], itertools.repeat(0.01), 0.3)
    assert tally.counts == {200: 15, 503: 15} and len(asked) == 30, "what is late is not left out"
    assert took >= 30 * 0.05
    assert tally.ms(200, 1.0) > 500, "of 30 requests of 50 ms, due every 10 ms, the last ones waited a second"
    line.close()


def test_closed_clients_ask_again_once_they_are_answered(refusing):
    url, asked = refusing
    tally, lines = Tally(), [Line(url), Line(url)]
    took = closed([asking(line, tally) for line in lines], 0.3)
    assert tally.counts.total() == len(asked) <= 2 * (took / 0.05)
    assert took >= 0.3 and all(second >= 0.05 for each in tally.seconds.values() for second in each)
    for line in lines:
        line.close()


def test_a_pace_uses_whichever_client_is_free():
    free, seen, barrier = [], [], threading.Barrier(2)

    def slow(due):
        if not free:
            free.append(due)
            barrier.wait(5)

    def fast(due):
        seen.append(due)
        if len(seen) == 4:
            barrier.wait(5)

    paced([slow, fast], itertools.chain([0.0] * 4, itertools.repeat(10.0)), 1.0)
    assert len(free) == 1 and len(seen) == 4


def test_a_server_that_is_gone_is_status_0():
    assert Line("http://127.0.0.1:9").send("GET", "/") == (0, b"")


def test_a_connection_that_rested_is_made_anew(refusing, monkeypatch):
    """A server hangs up on who rests; that is no failure of the server's."""
    url, asked = refusing
    line, now = Line(url), [100.0]
    monkeypatch.setattr(load, "time", SimpleNamespace(monotonic=lambda: now[0]))
    line.send("POST", "/", b"{}")
    first = line._http.sock
    line.send("POST", "/", b"{}")
    assert line._http.sock is first
    now[0] += load.IDLE + 1
    assert line.send("POST", "/", b"{}")[0] == 200 and line._http.sock is not first and len(asked) == 3
    line.close()


def test_headers_are_those_of_the_line_and_of_the_request():
    sent = []
    line = Line("http://127.0.0.1:9", {"Authorization": "Bearer x"})
    line._http = SimpleNamespace(request=lambda *all_: sent.append(all_), close=lambda: None)
    line._http.getresponse = lambda: SimpleNamespace(read=lambda: b"yes", status=200)
    assert line.send("PUT", "/a", "b", {"Content-Type": "text/csv"}) == (200, b"yes")
    assert sent == [("PUT", "/a", "b", {"Authorization": "Bearer x", "Content-Type": "text/csv"})]


def test_quantiles_by_hand_and_values_for_several_threads():
    assert quantile([0.3, 0.1, 0.2], 0.5) == 200.0 and quantile([], 0.99) == 0.0
    take, found = taking(range(200)), []
    threads = [threading.Thread(target=lambda: found.extend(take() for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(200))
