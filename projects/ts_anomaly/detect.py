"""Anomalies of a stream, as it comes: `python -m projects.ts_anomaly.detect --model RUN --source metrics.csv --follow`.

Alerts are lines of JSON on standard output. With --state what is needed to go on is written now and then and at the
end, so that a stopped process judges every point once. An answer of a Prometheus range query (a .json file) is read
whole. Of a stream of Redis (monitor/redis_source.py) one shard is judged, and any number of processes may wait to take
it over: its state is kept in Redis, its alerts are in the stream alerts:SHARD. The first threshold comes from the very
rows that the run was trained on, also if their file has grown since.
"""

import copy
import math
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from projects.ts_anomaly.data.reading import AHEAD, LATEST, Row, read_prometheus
from projects.ts_anomaly.learned import Learned, learned
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import Told, Webhook
from projects.ts_anomaly.monitor.sources import Followed, Place, from_stream
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import (
    MOST_MEMORY,
    RECENT,
    SHORTEST,
    Alert,
    Point,
    Watch,
    WatchConfig,
    new_watch,
)
from projects.ts_anomaly.monitor.whole import Whole
from projects.ts_anomaly.train import load_detector
from shared.errors import UserError, command
from shared.files import refuse_unwritable
from shared.run_directories import locked

SAVE_EVERY = 30.0  # seconds
REDIS = ("redis", "rediss", "unix")  # schemes of its addresses
LARGEST_JSON = 200_000_000  # bytes of an answer of Prometheus


@dataclass(frozen=True, kw_only=True)
class DetectConfig:
    """Watch a stream with a trained detector."""

    model: Path
    """Directory of a run of `train` (arm contrast)."""
    source: str = "-"
    """A CSV file, a .json file with the answer of a Prometheus range query, - for standard input, or a shard of a
    stream of Redis: redis://HOST:PORT/0#SHARD (rediss:// and unix:// too)."""
    follow: bool = False
    """Wait for more at the end of the file, as `tail -F` does; a stream of Redis has no end, and needs it."""
    state: Path | None = None
    """File in which to go on."""
    webhook: str = ""
    """URL that alerts are posted to."""
    chance: float = 1 / 10_080
    """Chance of a false alarm at a step; 1/10080 is one a week of minutes."""
    threshold: float | None = None
    """Surprise from which on to alarm, instead of the level from extreme values."""
    interval: float | None = None
    """Seconds of a step; by default the first distance of two times."""
    refit: bool = True
    """Fit scale and threshold again when what is normal has moved."""
    memory: int = WatchConfig.memory
    """Steps that a new fit sees; fewer false alarms, and a later first fit, with more (a week of minutes: 10080)."""


def main(config: DetectConfig) -> int:
    """Judge every row; returns how many steps were judged."""
    if not 0 < config.chance < 0.5:
        raise UserError(f"--chance {config.chance}: must be above 0 and below 0.5")
    if not RECENT <= config.memory <= MOST_MEMORY:
        raise UserError(f"--memory {config.memory}: must be from {RECENT} to {MOST_MEMORY}")
    if config.interval is not None and not SHORTEST <= config.interval <= LATEST:
        raise UserError(f"--interval {config.interval}: must be at least {SHORTEST} seconds")
    if config.threshold is not None and not config.threshold >= 0:
        raise UserError(f"--threshold {config.threshold}: must be at least 0")
    with _alone(config.state) as log:
        return _watched(config, log)


def _watched(config: DetectConfig, log: Path | None) -> int:
    outbox = config.state.with_name(f"{config.state.name}.outbox") if config.state else None
    told = Told(webhook=Webhook(config.webhook, outbox=outbox) if config.webhook else None, log=log)
    detector, trained_on = patch_detector(config.model)
    if urlsplit(config.source).scheme in REDIS:
        return _redis(config, detector, trained_on)
    if config.source.endswith(".json"):
        return _prometheus(config, detector, trained_on, told)
    place: Place | None = None
    if config.state and config.state.exists():
        watch, extra = load_watch(config.state, detector)
        place = Place(*extra["place"]) if extra.get("place") else None
    else:
        watch = fresh(detector, trained_on, watch_config(config))
    source = None if config.source == "-" else Followed(Path(config.source), place, follow=config.follow)

    judged = [place]  # up to here rows were judged; the source may have read one more

    def save() -> None:
        if config.state:
            save_watch(watch, config.state, place=list(vars(judged[0]).values()) if judged[0] else None)
            told.kept()

    def note() -> None:
        judged[0] = source.place if source else None

    rows = source.rows() if source else from_stream(sys.stdin)
    with told.closing():
        return _judge(watch, rows, told, Path(config.source).name, save, note)


@contextmanager
def _alone(state: Path | None) -> Iterator[Path | None]:
    """A log of what was told, beside the state, that one process at a time has.

    Raises:
        UserError: If another has it, or nothing can be written there.
    """
    if state is None:
        yield None
        return
    refuse_unwritable(state.parent)
    log = state.with_name(f"{state.name}.told")
    state.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    with locked(log):
        yield log


def _judge(
    watch: Watch,
    rows: Iterable[Row | None],
    told: Told,
    name: str,
    save: Callable[[], None] = lambda: None,
    note: Callable[[], None] = lambda: None,
) -> int:
    """Judge rows as they come, save now and then; a Ctrl-C or SIGTERM comes between two rows, and saves too.

    Args:
        save: Keeps the watch.
        note: Is told that a row was judged.
    """
    saved, judged, dropped, whole = time.monotonic(), 0, 0, Whole()
    with whole.listening():
        try:
            for row in rows:
                with whole.row():
                    points, alerts = _step(watch, row)
                    judged, dropped = judged + len(points), dropped + (row is not None and not points)
                    note()
                    told.tell(name, alerts)
                    if time.monotonic() - saved > SAVE_EVERY:
                        save()
                        saved = time.monotonic()
        finally:
            with whole.row():
                save()
            _report(judged, dropped, watch.level)
    return judged


def _report(judged: int, dropped: int, level: float) -> None:
    """What was done, a line each; behind a Ctrl-C it is said in the one line that this ends in."""
    said = [f"{judged} steps judged" + ("" if math.isnan(level) else f", threshold {level:.2f}")] if judged else []
    said += [f"{dropped} rows dropped: their time does not go on, or lies in the future"] if dropped else []
    stopped = sys.exception()
    for line in said:
        if isinstance(stopped, KeyboardInterrupt):
            stopped.add_note(line)
        else:
            sys.stderr.write(f"{line}\n")


def _step(watch: Watch, row: Row | None) -> tuple[list[Point], list[Alert]]:
    """What comes of a row, or of none; a clock that runs far ahead must not make all later rows old."""
    now = time.time()
    if row is None:
        return [], watch.tick(now)
    values = _fitting(row, watch)
    return watch.push(row.time, values) if row.time < now + AHEAD else ([], [])


def _fitting(row: Row, watch: Watch) -> tuple[float, ...]:
    wanted = len(watch.detector.scaler.centre)
    if len(row.values) != wanted:
        raise UserError(f"the stream has {len(row.values)} channels, the detector was trained on {wanted}")
    return row.values


def _prometheus(config: DetectConfig, detector: PatchTransformer, trained_on: Learned, told: Told) -> int:
    """Each series of an answer with a watch of its own."""
    path = Path(config.source)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > LARGEST_JSON:
        raise UserError(f"{path}: has more than {LARGEST_JSON} bytes; ask Prometheus for a shorter range")
    steps = 0
    with told.closing():
        for name, rows in read_prometheus(path.read_bytes(), str(path)):
            watch = fresh(copy.deepcopy(detector), trained_on, watch_config(config))
            steps += _judge(watch, rows, told, name)
    return steps


def _redis(config: DetectConfig, detector: PatchTransformer, trained_on: Learned) -> int:
    """A shard, until it is stopped: what is judged and not kept then is read again by whoever takes over."""
    from projects.ts_anomaly.monitor.redis_source import Consumer, connected

    url, _, shard = config.source.partition("#")
    if not shard or not config.follow or config.state or config.webhook:
        raise UserError(
            f"--source {url}: needs #SHARD and --follow, and takes no --state and no --webhook: Redis keeps the state, "
            "alerts are in its stream alerts:SHARD"
        )
    with connected(url) as redis:
        consumer = Consumer(redis, shard, detector, fresh(detector, trained_on, watch_config(config)))
        judged = 0
        try:
            for count in consumer.batches():
                judged += count
        finally:
            consumer.leave()
            _report(judged, 0, math.nan)
    return judged


def watch_config(config: DetectConfig) -> WatchConfig:
    """What a watch is told."""
    memory = config.memory if config.refit else 0
    return WatchConfig(chance=config.chance, interval=config.interval, threshold=config.threshold, memory=memory)


def patch_detector(directory: Path) -> tuple[PatchTransformer, Learned]:
    """The detector of a run, and what it was trained on.

    Raises:
        UserError: If it does not stream with caches.
    """
    detector = load_detector(directory)
    if not isinstance(detector, PatchTransformer):
        raise UserError(f"--model {directory}: only the arms contrast and forecast are watched with")
    return detector, learned(directory)


def fresh(detector: PatchTransformer, trained_on: Learned, config: WatchConfig) -> Watch:
    """A watch whose threshold comes from the rows that the detector was trained on.

    Raises:
        UserError: If that is a file which is not there any more, or whose rows have changed.
    """
    try:
        series = trained_on.series()
    except UserError as error:
        raise UserError(f"the first threshold comes from what the run was trained on: {error}") from None
    return new_watch(detector, series.known, series.fit, config)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl-C: what was judged is saved
    command(main, DetectConfig)
