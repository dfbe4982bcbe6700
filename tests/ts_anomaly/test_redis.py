"""Two consumers and a kill: no point lost, none judged twice."""

import copy
import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from redis import Redis

from projects.ts_anomaly.data.reading import Row
from projects.ts_anomaly.monitor.redis_source import LEASE_MS, Consumer, add
from projects.ts_anomaly.monitor.watch import WatchConfig, new_watch
from tests.ts_anomaly.conftest import wave

CHILD = """
import sys
from pathlib import Path
from redis import Redis
from projects.ts_anomaly.detect import fresh, patch_detector
from projects.ts_anomaly.monitor.redis_source import Consumer
from projects.ts_anomaly.monitor.watch import WatchConfig
detector, dataset = patch_detector(Path(sys.argv[2]))
watch = fresh(detector, dataset, WatchConfig(chance=1e-4, interval=60.0, memory=0))
with Redis(unix_socket_path=sys.argv[1]) as redis:
    consumer = Consumer(redis, "cpu", detector, watch)
    consumer.name = sys.argv[3]
    for _ in consumer.batches(wait_ms=50):
        pass
"""


@pytest.fixture(scope="module")
def socket(tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server is installed")
    path = tmp_path_factory.mktemp("redis") / "s"
    words = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=path.parent) as process:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.02)
        yield path
        process.terminate()


@pytest.fixture
def redis(socket):
    with Redis(unix_socket_path=str(socket)) as opened:
        opened.flushall()
        yield opened


def test_a_consumer_whose_lease_is_gone_keeps_nothing(redis, detector, series):
    config = WatchConfig(chance=1e-4, interval=60.0)
    slow = Consumer(redis, "cpu", detector, new_watch(copy.deepcopy(detector), series.known, series.fit, config))
    for n, value in enumerate(wave(64)[:, 0].tolist()):
        add(redis, "cpu", Row(60.0 * n, (value,)))
    steps = slow.batches(wait_ms=10)
    assert next(steps) == 64 and redis.get("position:cpu") is not None
    before = redis.get("position:cpu")
    add(redis, "cpu", Row(60.0 * 64, (0.1,)))
    kept = slow._keep
    slow._keep = lambda *told: (redis.set("lease:cpu", "another"), kept(*told))[1]
    assert next(steps) == 1 and redis.get("position:cpu") == before
    assert next(steps) == 0, "the lease is another's"


@pytest.mark.slow
def test_two_consumers_and_a_kill_lose_nothing_and_judge_nothing_twice(redis, socket, tmp_path):
    from dataclasses import replace

    from projects.ts_anomaly import train
    from projects.ts_anomaly.config import SMOKE
    from projects.ts_anomaly.detect import fresh, patch_detector

    path = tmp_path / "wave.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in wave(1500)[:, 0]))
    train.main(replace(SMOKE, dataset=str(path), out=tmp_path / "run"))
    values = wave(1200, 8)[:, 0]
    values[[200, 500, 800, 1100]] += 40
    words = [sys.executable, "-c", CHILD, str(socket), str(tmp_path / "run")]
    consumers = [subprocess.Popen([*words, str(n)], stderr=subprocess.PIPE) for n in range(2)]
    try:
        for n, value in enumerate(values.tolist()):
            add(redis, "cpu", Row(60.0 * n, (value,)))
            if n == 600:
                deadline = time.monotonic() + 40
                while redis.get("lease:cpu") is None or redis.get("position:cpu") is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            if n == 900:  # whoever holds the lease
                consumers[int(redis.get("lease:cpu"))].send_signal(signal.SIGKILL)
        last = redis.xrevrange("points:cpu", count=1)[0][0]
        deadline = time.monotonic() + 40 + LEASE_MS / 1000
        while redis.get("position:cpu") != last and time.monotonic() < deadline:
            time.sleep(0.1)
        assert redis.get("position:cpu") == last
    finally:
        for each in consumers:
            each.kill()
            each.wait()
            each.stderr.close()
    told = [json.loads(fields[b"alert"]) for _, fields in redis.xrange("alerts:cpu")]
    detector, dataset = patch_detector(tmp_path / "run")
    alone = fresh(detector, dataset, WatchConfig(chance=1e-4, interval=60.0, memory=0))
    expected = [alert for n, value in enumerate(values.tolist()) for alert in alone.push(60.0 * n, (value,))[1]]
    assert [(each["kind"], each["step"]) for each in told] == [(alert.kind, alert.step) for alert in expected]
    assert {200, 500, 800, 1100} <= {each["step"] for each in told}
