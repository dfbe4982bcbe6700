"""The server is killed in the middle of pushes: what was acknowledged is neither lost nor judged twice.

KILLS=50 python -m pytest tests/ts_anomaly/test_kills.py -s --timeout 900
"""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest

from projects.ts_anomaly.data.reading import Row
from projects.ts_anomaly.detect import patch_detector
from projects.ts_anomaly.monitor.alerts import identity
from projects.ts_anomaly.server.service import REDRAWN, Monitor
from projects.ts_anomaly.server.settings import PREFIX, Settings
from shared.web.launch import running

KILLS = int(os.environ.get("KILLS", "3"))
BATCH = 12
SERIES = ("cpu", "disk")


def rows(name, number):
    """The n-th push of a series: a wave that grows slowly, with a fault in every fifth."""
    noise = np.random.default_rng([*name.encode(), number]).standard_normal(BATCH)
    steps = np.arange(BATCH * number, BATCH * (number + 1))
    values = np.sin(2 * np.pi * steps / 20) * (1 + steps / 3000) + 0.1 * noise
    if number % 5 == 4:
        values[3] += 60
    return [Row(60.0 * step, (value,)) for step, value in zip(steps.tolist(), values.tolist(), strict=True)]


class Pusher(threading.Thread):
    """Pushes a series until the server is gone; whoever comes next goes on with what was not answered.

    Attributes:
        done: Pushes that were answered.
        twice: Of these, such as an earlier server had taken and not answered.
    """

    def __init__(self, name, done=0, twice=0):
        super().__init__(daemon=True)
        self.name_of, self.done, self.twice, self.odd, self.url = name, done, twice, [], ""

    def run(self):
        with httpx.Client(timeout=20) as client:
            while True:
                body = {"points": [{"time": row.time, "values": row.values} for row in rows(self.name_of, self.done)]}
                try:
                    answer = client.post(f"{self.url}/v1/series/{self.name_of}/points", json=body)
                except httpx.HTTPError:
                    return
                accepted = answer.json().get("accepted")
                if answer.status_code != 200 or accepted not in (0, BATCH):
                    self.odd.append((answer.status_code, answer.text))
                    return
                self.done, self.twice = self.done + 1, self.twice + (accepted == 0)


def keep_saving(url):
    """Moves no threshold, which writes a state all the same."""
    with httpx.Client(timeout=20) as client:
        while True:
            try:
                client.put(f"{url}/v1/series/cpu/threshold", json={"threshold": None})
            except httpx.HTTPError:
                return


@contextmanager
def inbox():
    """A webhook that takes its time."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(0.002)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got
    finally:
        server.shutdown()
        server.server_close()


def shown(url, name):
    answer = httpx.get(f"{url}/v1/series/{name}", params={"limit": 2048}, timeout=20)
    return {} if answer.status_code == 404 else {each["step"]: each for each in answer.json()["shown"]}


def one_life(options, pushers, end, seconds):
    """A server that is pushed to and ended with a signal while it is. Returns its exit code, what it wrote beside
    its log of requests, and the points that it showed when it began.
    """
    with running("projects.ts_anomaly.server", PREFIX, options) as server:
        before = {each.name_of: shown(server.url, each.name_of) for each in pushers}
        for each in pushers:
            each.url = server.url
            each.start()
        saving = threading.Thread(target=keep_saving, args=(server.url,), daemon=True)
        saving.start()
        time.sleep(seconds)
        server.process.send_signal(end)
        code = server.process.wait(40)
        for each in (*pushers, saving):
            each.join(30)
            assert not each.is_alive()
        return code, [line for line in server.said().splitlines() if '"level": "INFO"' not in line], before


def as_if_never_stopped(model, settings, pushers):
    """A monitor that took the same pushes; all of its points and alerts by series."""
    monitor, points, alerts = Monitor(patch_detector(model)[0], settings), {}, {}
    for each in pushers:
        points[each.name_of], alerts[each.name_of] = {}, []
        for number in range(each.done):
            told = monitor.push(each.name_of, rows(each.name_of, number))["alerts"]
            one = monitor.series[each.name_of]
            points[each.name_of] |= {point.step: point for point in list(one.points)[-BATCH:]}
            alerts[each.name_of] += list(one.alerts)[-told:] if told else []
    return monitor, points, alerts


@pytest.mark.slow
@pytest.mark.timeout(200 + 20 * KILLS)
def test_who_is_killed_in_the_middle_of_pushes_loses_nothing_and_judges_nothing_twice(model, tmp_path):
    draw, pushers, seen = random.Random(KILLS), [Pusher(name) for name in SERIES], []
    settings = Settings(data=tmp_path / "whole", warm=128, rate=100_000.0, chance=1e-4)
    with inbox() as (url, got):
        options = {"model": model, "data": tmp_path / "killed", "warm": 128, "rate": 100_000.0, "chance": 1e-4}
        for number in range(KILLS + 1):  # the last one ends in order, in the middle of pushes too
            pushers = [Pusher(each.name_of, each.done, each.twice) for each in pushers]
            end = signal.SIGKILL if number < KILLS else signal.SIGTERM
            code, said, before = one_life({**options, "webhook": url}, pushers, end, draw.uniform(0.05, 0.9))
            assert (code, said) == (-signal.SIGKILL if number < KILLS else 0, [])
            assert not any(each.odd for each in pushers), [each.odd for each in pushers]
            seen.append(before)
        with running("projects.ts_anomaly.server", PREFIX, {**options, "webhook": url}) as server:
            for each in pushers:  # what was answered is there; what was not may be
                there = httpx.get(f"{server.url}/v1/series/{each.name_of}", timeout=20).json()["points"] + 127
                assert there in (BATCH * each.done, BATCH * (each.done + 1))
                each.twice, each.done = each.twice + there // BATCH - each.done, there // BATCH
    whole, points, alerts = as_if_never_stopped(model, settings, pushers)
    killed = Monitor(patch_detector(model)[0], replace(settings, data=tmp_path / "killed"))
    for name in SERIES:
        one, other = killed.series[name], whole.series[name]
        assert one.watch.step == other.watch.step and one.watch.spot == other.watch.spot
        assert one.watch.refits == other.watch.refits and one.watch.events.current == other.watch.events.current
        assert one.told == other.told == len(alerts[name]) and list(one.alerts) == list(other.alerts)
        np.testing.assert_equal(list(one.points)[-REDRAWN:], list(other.points)[-REDRAWN:])
        for before in seen:
            assert all(points[name][step].score == each["score"] for step, each in before[name].items())
    ids = Counter(each["id"] for each in got)
    expected = {identity(name, alert) for name in SERIES for alert in alerts[name]}
    assert set(ids) == expected, "no alert is lost, and none is made up"
    doubled = sum(ids.values()) - len(ids)
    assert doubled <= KILLS, "only what was being sent at a kill is sent again"
    print(
        f"\n{KILLS} kills: {BATCH * sum(each.done for each in pushers)} points in {sum(each.done for each in pushers)} "
        f"pushes, {sum(each.twice for each in pushers)} of them kept and not answered before a kill; "
        f"{len(expected)} alerts, {doubled} posted twice; refits {[whole.series[name].watch.refits for name in SERIES]}"
    )
