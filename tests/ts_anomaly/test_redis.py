"""Redis as source: two consumers and a kill, a Redis that goes and comes back; no point lost, none judged twice."""

import copy
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from projects.ts_anomaly.data.reading import Row
from projects.ts_anomaly.detect import fresh, patch_detector
from projects.ts_anomaly.monitor.redis_source import LEASE_MS, Consumer, add
from projects.ts_anomaly.monitor.watch import WatchConfig, new_watch
from shared.errors import UserError
from tests.ts_anomaly.conftest import wave


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


def told_of(redis):
    """Kind and step of each alert in the stream."""
    told = (json.loads(fields[b"alert"]) for _, fields in redis.xrange("alerts:cpu"))
    return [(each["kind"], each["step"]) for each in told]


def expected_of(watch, values):
    """What a watch tells that nobody disturbs."""
    alerts = [alert for n, value in enumerate(values) for alert in watch.push(60.0 * n, (value,))[1]]
    return [(alert.kind, alert.step) for alert in alerts]


def faulty(n):
    values = wave(n, 8)[:, 0]
    values[30::150] += 40
    return values.tolist()


@pytest.mark.parametrize("reached", [False, True], ids=["never sent", "done, and the answer lost"])
def test_a_batch_whose_end_is_not_known_is_judged_once(redis, detector, series, capsys, reached):
    config, values = WatchConfig(chance=1e-4, interval=60.0), faulty(160)
    watch = new_watch(copy.deepcopy(detector), series.known, series.fit, config)
    consumer = Consumer(redis, "cpu", detector, copy.deepcopy(watch))
    for n, value in enumerate(values):
        add(redis, "cpu", Row(60.0 * n, (value,)))
    commit, tries = consumer._commit, []

    def lost(**told):
        tries.append(told)
        if len(tries) > 2:
            return commit(**told)
        if reached:  # twice, as a client does that tries again by itself
            assert commit(**told) and not commit(**told)
        raise RedisConnectionError("Connection closed by server.")

    consumer._commit = lost
    counts = [count for count, _ in zip(consumer.batches(wait_ms=10), range(6), strict=False)]
    assert sum(counts) == 160 - 128 * reached, "what was kept is not read again, what was not is"
    assert told_of(redis) == expected_of(watch, values) and consumer._load()[0].spot == watch.spot
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == ["Redis cannot be used now", "Redis can be used again"], "once"


def test_what_redis_refuses_is_one_line(redis, detector, watch):
    redis.set("points:cpu", "no stream")
    with pytest.raises(UserError, match="Redis refuses what shard cpu needs: WRONGTYPE"):
        next(Consumer(redis, "cpu", detector, watch).batches(wait_ms=10))
    with Redis(unix_socket_path=redis.get_connection_kwargs()["path"], password="none") as stranger:
        redis.config_set("requirepass", "some")
        try:
            with pytest.raises(UserError, match="Redis refuses this consumer"):
                next(Consumer(stranger, "cpu", detector, watch).batches(wait_ms=10))
        finally:
            redis.execute_command("AUTH", "some")
            redis.config_set("requirepass", "")


class Restartable:
    """A Redis that keeps what it acknowledged, and can be ended and begun again."""

    def __init__(self, folder):
        self.path, self.process = folder / "s", None
        self.words = ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--dir", str(folder)]
        self.words += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    def client(self):
        return Redis(unix_socket_path=str(self.path), retry=Retry(NoBackoff(), 0))

    def begin(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL)
        self.patiently(lambda redis: redis.ping())

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(20)

    def patiently(self, ask):
        """Again until Redis is there, as whoever measures does."""
        deadline = time.monotonic() + 60
        with self.client() as redis:
            while True:
                try:
                    return ask(redis)
                except RedisConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)

    def wait_for_last(self):
        """Until all points are judged. Returns the last one's place."""
        last = self.patiently(lambda redis: redis.xrevrange("points:cpu", count=1))[0][0]
        deadline = time.monotonic() + 60
        while self.patiently(lambda redis: redis.get("position:cpu")) != last:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return last


@pytest.mark.slow
@pytest.mark.timeout(300)  # other processes begin and end
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server is installed")
def test_redis_goes_away_and_comes_back_and_no_point_is_lost_or_judged_twice(tmp_path, detector, series, capsys):
    config, values = WatchConfig(chance=1e-4, interval=60.0, memory=512), faulty(600)
    watch = new_watch(copy.deepcopy(detector), series.known, series.fit, config)
    server, counts, stop = Restartable(tmp_path), [], threading.Event()
    server.begin()
    with server.client() as redis, server.client() as other:
        consumer = Consumer(redis, "cpu", detector, copy.deepcopy(watch))

        def consume():
            for count in consumer.batches(wait_ms=200):
                counts.append(count)
                if stop.is_set():
                    return

        consuming = threading.Thread(target=consume, daemon=True)
        consuming.start()
        for n, value in enumerate(values):
            server.patiently(partial(add, shard="cpu", row=Row(60.0 * n, (value,))))
            if n in (150, 300):  # it is stopped in order and stays away, then killed while points wait
                server.end(signal.SIGTERM if n == 150 else signal.SIGKILL)
                time.sleep(0.4 if n == 150 else 0.0)
                server.begin()
            if n > 400 and n % 20 == 0:  # all connections are reset: while it waits for a point, and while it judges
                if n % 40 == 0:
                    server.wait_for_last()
                    time.sleep(0.1)
                server.patiently(lambda asked: asked.client_kill_filter(_type="normal", skipme=True))
        last = server.wait_for_last()
        stop.set()
        consuming.join(20)
        assert not consuming.is_alive()
        kept, position = consumer._load()
        assert position == last and told_of(other) == expected_of(watch, values)
    assert (kept.step, kept.spot, kept.refits) == (watch.step, watch.spot, watch.refits) and watch.step == 599
    server.end(signal.SIGTERM)
    said = capsys.readouterr().err.splitlines()
    print(f"{len(said) // 2} times away; batches {sum(count > 0 for count in counts)}, points {sum(counts)}")
    assert len(said) >= 6 and len(said) % 2 == 0
    assert {line.split(" (")[0] for line in said[::2]} == {"Redis cannot be used now"}
    assert set(said[1::2]) == {"Redis can be used again"}


@pytest.mark.slow
@pytest.mark.timeout(300)  # other processes begin and end
def test_two_consumers_and_a_kill_lose_nothing_and_judge_nothing_twice(redis, socket, model):
    values = wave(1200, 8)[:, 0]
    values[[200, 500, 800, 1100]] += 40
    words = [
        sys.executable,
        "-m",
        "projects.ts_anomaly.detect",
        "--model",
        str(model),
        "--source",
        f"unix://{socket}#cpu",
    ]
    words += ["--follow", "--chance", "1e-4", "--interval", "60", "--no-refit"]
    consumers = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(2)]

    def holder():
        """Who judges now: its name holds its process."""
        return next(each for each in consumers if str(each.pid) in redis.get("lease:cpu").decode().split("-"))

    try:
        for n, value in enumerate(values.tolist()):
            add(redis, "cpu", Row(60.0 * n, (value,)))
            if n == 600:
                deadline = time.monotonic() + 40
                while redis.get("lease:cpu") is None or redis.get("position:cpu") is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            if n == 900:  # whoever holds the lease
                holder().send_signal(signal.SIGKILL)
        last = redis.xrevrange("points:cpu", count=1)[0][0]
        deadline = time.monotonic() + 40 + LEASE_MS / 1000
        while redis.get("position:cpu") != last and time.monotonic() < deadline:
            time.sleep(0.1)
        assert redis.get("position:cpu") == last
        left = holder()
        left.send_signal(signal.SIGINT)
        _, said = left.communicate(timeout=30)
        assert left.returncode == 130 and said.startswith("interrupted; ") and said.endswith(" steps judged\n"), said
        assert redis.get("lease:cpu") is None, "given back"
    finally:
        for each in consumers:
            each.kill()
            each.wait()
            each.stderr.close()
    told = told_of(redis)
    detector, trained_on = patch_detector(model)
    alone = fresh(detector, trained_on, WatchConfig(chance=1e-4, interval=60.0, memory=0))
    assert told == expected_of(alone, values.tolist())
    assert {200, 500, 800, 1100} <= {step for _, step in told}
