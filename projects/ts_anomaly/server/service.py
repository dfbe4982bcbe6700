"""The monitor as a service, without HTTP: series by name, each with a journal, a state and a watch."""

import copy
import hashlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.reading import Row, in_order
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.detect import patch_detector
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import Webhook, as_line
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import Alert, Point, Watch, WatchConfig, warmed
from projects.ts_anomaly.server.journal import Journal
from projects.ts_anomaly.server.settings import Settings
from projects.ts_anomaly.train import main as train
from shared.errors import UserError
from shared.files import write_text
from shared.web.problems import BusyError

SHOWN = 2048  # points that the page can show
KEPT = 200  # alerts of a series
SAVE_EVERY = 4096  # rows of a journal before a state replaces it
NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,200}")


@dataclass
class Monitored:
    """One series.

    Attributes:
        name: Its name.
        journal: Rows since the last state.
        watch: None while too few points have come; they are in `rows`.
        points: The last ones that were judged.
        alerts: The last ones.
    """

    name: str
    journal: Journal
    watch: Watch | None = None
    rows: list[Row] = field(default_factory=list)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=SHOWN))
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=KEPT))
    told: int = 0


class Monitor:
    """All series; one push at a time, a bounded number waits.

    Args:
        detector: Whose weights all series share.
        settings: What the server was told.
    """

    def __init__(self, detector: PatchTransformer, settings: Settings) -> None:
        self.detector, self.settings = detector, settings
        self.series: dict[str, Monitored] = {}
        self.judged = 0
        self._lock, self._waiting = threading.Lock(), threading.BoundedSemaphore(settings.waiting)
        self._webhook = Webhook(settings.webhook) if settings.webhook else None
        self._config = WatchConfig(chance=settings.chance, memory=settings.memory)
        settings.data.mkdir(parents=True, exist_ok=True)
        for path in sorted(settings.data.glob("*.name")):
            self._open(path.read_text(encoding="utf-8"))

    def push(self, name: str, rows: Sequence[Row]) -> dict[str, Any]:
        """Take rows in: on disk first, then judged. What is older than what was seen is counted as dropped.

        Raises:
            UserError: If the rows do not fit the series, or there are too many series.
            BusyError: If too many pushes wait.
        """
        with self._turn():
            one = self.series.get(name) or self._new(name)
            last = self._last(one)
            fresh = list(in_order(row for row in rows if row.time > last))
            _refuse_other_width(one, fresh, self.detector.model.channels)
            one.journal.append(fresh)
            alerts = self._take(one, fresh)
            if one.watch is not None and one.journal.rows >= SAVE_EVERY:
                self._save(one)
            return {"accepted": len(fresh), "dropped": len(rows) - len(fresh), "alerts": len(alerts)}

    def set_threshold(self, name: str, threshold: float | None) -> float:
        """Alarm from this surprise on; None goes back to the level from extreme values. Returns what is in force.

        Raises:
            UserError: If the series has not been judged yet.
        """
        with self._turn():
            watch = self.series[name].watch
            if watch is None:
                raise UserError("this series has too few points yet: it has no threshold")
            watch.config = replace(watch.config, threshold=threshold)
            self._save(self.series[name])
            return watch.level

    def close(self) -> None:
        """Save all states, and send what waits."""
        with self._lock:
            for one in self.series.values():
                if one.watch is not None:
                    self._save(one)
        if self._webhook:
            self._webhook.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise BusyError("too many pushes wait", 1.0)
        try:
            with self._lock:
                yield
        finally:
            self._waiting.release()

    def _last(self, one: Monitored) -> float:
        """Time of the last row; −∞ before the first."""
        if one.watch is None:
            return one.rows[-1].time if one.rows else -np.inf
        assert one.watch.begun is not None
        return one.watch.begun + one.watch.step * (one.watch.interval or 0.0)

    def _take(self, one: Monitored, rows: Iterable[Row]) -> list[Alert]:
        told: list[Alert] = []
        waiting = iter(rows)
        while one.watch is None and (row := next(waiting, None)) is not None:
            one.rows.append(row)
            if len(one.rows) >= self.settings.warm:
                one.watch = self._begin(one.rows)
        if one.watch is not None:
            points, told = one.watch.push_many((row.time, row.values) for row in waiting)
            one.points.extend(points)
            self.judged += len(points)
        for alert in told:
            one.alerts.append(alert)
            if self._webhook:
                self._webhook.send(as_line(one.name, alert))
        one.told += len(told)
        return told

    def _begin(self, rows: list[Row]) -> Watch:
        """A watch whose first points were `rows`; its clock stands at the last of them."""
        steps = np.diff([row.time for row in rows])
        watch = warmed(self.detector, np.array([row.values for row in rows]), self._config)
        watch.begun, watch.interval = rows[-1].time, float(np.median(steps))
        watch.step = 0
        return watch

    def _new(self, name: str) -> Monitored:
        if len(self.series) >= self.settings.series:
            raise UserError(f"there are {len(self.series)} series, which is as many as this server takes")
        if not NAME.fullmatch(name):
            raise UserError("a name has 1 to 200 characters, without / and control characters")
        write_text(self._path(name, "name"), name)
        return self._open(name)

    def _open(self, name: str) -> Monitored:
        """A series as it was left: its state, then the rows that came behind it."""
        one = Monitored(name, Journal(self._path(name, "jsonl")))
        state = self._path(name, "state")
        if state.exists():
            one.watch, extra = load_watch(state, copy.copy(self.detector))
            one.alerts.extend(Alert(**each) for each in extra["alerts"])
        self.series[name] = one
        webhook, self._webhook = self._webhook, None  # what is judged again was told before
        for rows in one.journal.read():
            last = self._last(one)
            self._take(one, [row for row in rows if row.time > last])
        self._webhook = webhook
        return one

    def _save(self, one: Monitored) -> None:
        assert one.watch is not None
        save_watch(one.watch, self._path(one.name, "state"), alerts=[vars(alert) for alert in one.alerts])
        one.journal.clear()

    def _path(self, name: str, suffix: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        return self.settings.data / f"{digest}.{suffix}"


def _refuse_other_width(one: Monitored, rows: Sequence[Row], mixed: int) -> None:
    widths = {len(row.values) for row in rows} | ({len(one.rows[0].values)} if one.rows else set())
    if one.watch is not None:
        widths.add(len(one.watch.detector.scaler.centre))
    if len(widths) > 1:
        raise UserError(
            f"the points of a series have as many values each, not {' and '.join(map(str, sorted(widths)))}"
        )
    if mixed > 1 and widths - {mixed}:
        raise UserError(f"this detector mixes {mixed} channels: points have as many values, not {max(widths)}")


def load_or_train(settings: Settings) -> PatchTransformer:
    """The detector that was named, or one that is trained on an embedded series, once."""
    folder = Path(settings.model) if settings.model else Path("runs/ts_anomaly/served")
    if not settings.model and not (folder / "result.json").exists():
        train(Config(dataset="mitdb", steps=300, out=folder))
    return patch_detector(folder)[0]


class Demo(threading.Thread):
    """Replays a series into the monitor as if it came now: what warms up at once, the rest at the pace of the
    settings.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(daemon=True)
        self._monitor, self._ended = monitor, threading.Event()

    def run(self) -> None:
        """Push until it is stopped, from the beginning again and again."""
        settings = self._monitor.settings
        values = load_series(settings.demo).values
        step, at = 1 / settings.pace, time.time() - len(values) / settings.pace
        place, live = 0, False
        while not self._ended.is_set():
            count = 256 if not live else 1
            rows = [Row(at + n * step, tuple(values[(place + n) % len(values)].tolist())) for n in range(count)]
            self._monitor.push(settings.demo, rows)
            place, at = place + count, at + count * step
            live = at >= time.time()
            if live:
                self._ended.wait(step)

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join(5)


def as_plain(value: Any) -> Any:
    """NaN as null."""
    return json.loads(json.dumps(value).replace("NaN", "null").replace("Infinity", "null"))
