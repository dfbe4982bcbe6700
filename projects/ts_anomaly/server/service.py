"""The monitor as a service, without HTTP: series by name, each with a journal, a state and a watch."""

import copy
import hashlib
import math
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.reading import AHEAD, Row, in_order
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.detect import patch_detector
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import Webhook, as_line
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import SHORTEST, Alert, Point, Watch, WatchConfig, warmed
from projects.ts_anomaly.server.journal import Journal
from projects.ts_anomaly.server.settings import Settings
from projects.ts_anomaly.train import main as train
from shared.errors import UserError
from shared.files import remove_temporaries, write_text
from shared.web.problems import BusyError

SHOWN = 2048  # points that the page can show
KEPT = 200  # alerts of a series
SAVE_EVERY = 4096  # rows of a journal before a state replaces it
REDRAWN = 600  # points that a state keeps for the page
NAME = re.compile(r"(?!\.{1,2}$)[^\x00-\x1f\x7f]{1,1000}")
FULL = "the disk takes nothing now ({}): nothing was accepted"


@dataclass
class Monitored:
    """One series.

    Attributes:
        name: Its name.
        journal: Rows since the last state.
        watch: None while too few points have come; they are in `rows`.
        points: The last ones that were judged.
        alerts: The last ones.
        told: Alerts in all.
    """

    name: str
    journal: Journal
    watch: Watch | None = None
    rows: list[Row] = field(default_factory=list)
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=SHOWN))
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=KEPT))
    told: int = 0

    @property
    def open(self) -> bool:
        """Whether an event is going on."""
        return self.watch is not None and self.watch.events.current is not None

    @property
    def last(self) -> float:
        """Time of the last row; −∞ before the first."""
        if self.watch is None:
            return self.rows[-1].time if self.rows else -math.inf
        assert self.watch.begun is not None
        return self.watch.begun + self.watch.step * (self.watch.interval or 0.0)

    def extra(self) -> dict[str, Any]:
        """What a state keeps beside the watch."""
        points = [list(vars(point).values()) for point in list(self.points)[-REDRAWN:]]
        return {"alerts": [vars(alert) for alert in self.alerts], "told": self.told, "points": points}

    def restore(self, extra: dict[str, Any]) -> None:
        """Undo of `extra`."""
        self.alerts.extend(Alert(**each) for each in extra["alerts"])
        for time_, step, values, *judged in extra.get("points", []):
            self.points.append(Point(time_, step, tuple(values), *judged))
        self.told = extra.get("told", len(self.alerts))


class Monitor:
    """All series. One thread judges, so that whatever a thread holds in libraries is held once; a bounded number waits.

    Args:
        detector: Whose weights all series share.
        settings: What the server was told.
    """

    def __init__(self, detector: PatchTransformer, settings: Settings) -> None:
        self.detector, self.settings = detector, settings
        self.series: dict[str, Monitored] = {}
        self.judged = 0
        self._judging = ThreadPoolExecutor(1, "judging")
        self._waiting = threading.BoundedSemaphore(settings.waiting)
        self._config = WatchConfig(chance=settings.chance, memory=settings.memory)
        settings.data.mkdir(parents=True, exist_ok=True)
        remove_temporaries(settings.data)
        outbox = settings.data / "outbox.jsonl"
        self._webhook = Webhook(settings.webhook, outbox=outbox) if settings.webhook else None
        for path in sorted(settings.data.glob("*.name")):
            self._open(_name_in(path))

    def all(self) -> list[Monitored]:
        """The series as they are now, also while another thread adds one."""
        return list(self.series.values())

    def push(self, name: str, rows: Sequence[Row]) -> dict[str, Any]:
        """Take rows in: on disk first, then judged. What is older than what was seen, or of a clock that runs far
        ahead, is counted as dropped.

        Raises:
            UserError: If the rows do not fit the series, or there are too many series.
            BusyError: If too many pushes wait, or the disk is full.
        """
        with self._turn():
            return self._judging.submit(self._push, name, rows).result()

    def set_threshold(self, name: str, threshold: float | None) -> float:
        """Alarm from this surprise on; None goes back to the level from extreme values. Returns what is in force.

        Raises:
            UserError: If the series has not been judged yet.
            BusyError: If too many pushes wait, or the disk is full.
        """
        with self._turn():
            return self._judging.submit(self._set_threshold, name, threshold).result()

    def close(self) -> None:
        """Save all states, and send what waits."""
        try:
            for saved in [self._judging.submit(self._save, one) for one in self.all()]:
                saved.result()
        except (OSError, UserError) as error:
            sys.stderr.write(f"a state was not saved ({error}); its journal has it all\n")
        self._judging.shutdown()
        if self._webhook:
            self._webhook.close()

    def summary(self, one: Monitored) -> dict[str, Any]:
        """What a list says of a series."""
        watch = one.watch
        return {
            "name": one.name,
            "points": watch.step + 1 if watch else len(one.rows),
            "warming": 0 if watch else self.settings.warm - len(one.rows),
            "threshold": watch.level if watch and math.isfinite(watch.level) else None,
            "automatic": watch is None or watch.config.threshold is None,
            "open": one.open,
            "alerts": one.told,
        }

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise BusyError("too many pushes wait", 1.0)
        try:
            yield
        except OSError as error:
            raise BusyError(FULL.format(error.strerror), 60.0) from None
        finally:
            self._waiting.release()

    def _push(self, name: str, rows: Sequence[Row]) -> dict[str, Any]:
        one = self.series.get(name) or self._new(name)
        last, latest = one.last, time.time() + AHEAD
        fresh = list(in_order(row for row in rows if last < row.time < latest))
        _refuse_other_width(one, fresh, self.detector.model.channels)
        one.journal.append(fresh)
        alerts = self._tell(one, self._take(one, fresh))
        if one.journal.rows >= SAVE_EVERY:
            with suppress(OSError, UserError):  # the disk is full; the journal still has it all
                self._save(one)
        return {"accepted": len(fresh), "dropped": len(rows) - len(fresh), "alerts": len(alerts)}

    def _set_threshold(self, name: str, threshold: float | None) -> float:
        one = self.series[name]
        if one.watch is None:
            raise UserError("this series has too few points yet: it has no threshold")
        before = one.watch.config
        one.watch.config = replace(before, threshold=threshold)
        try:
            self._save(one)
        except (OSError, UserError):
            one.watch.config = before
            raise
        return one.watch.level

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
        one.alerts.extend(told)
        one.told += len(told)
        return told

    def _tell(self, one: Monitored, alerts: list[Alert]) -> list[Alert]:
        """Hand alerts over to the webhook, then note it: who is killed between both says the same once more."""
        if self._webhook:
            for alert in alerts:
                self._webhook.send(as_line(one.name, alert))
        if alerts:
            one.journal.told()
        return alerts

    def _begin(self, rows: list[Row]) -> Watch | None:
        """A watch whose first points were `rows`; its clock stands at the last of them. None, and fewer rows, if they
        hold too few values to fit on.
        """
        try:
            watch = warmed(self.detector, np.array([row.values for row in rows]), self._config)
        except UserError:
            del rows[: len(rows) // 4]
            return None
        watch.begun, watch.step = rows[-1].time, 0
        watch.interval = max(float(np.median(np.diff([row.time for row in rows]))), SHORTEST)
        rows.clear()
        return watch

    def _new(self, name: str) -> Monitored:
        if len(self.series) >= self.settings.series:
            raise UserError(f"there are {len(self.series)} series, which is as many as this server takes")
        if not NAME.fullmatch(name):
            raise UserError("a name has 1 to 1000 characters, none of them a control character")
        Journal(self._path(name, "jsonl")).replace()  # the folder has it before the first point is acknowledged
        write_text(self._path(name, "name"), name)
        return self._open(name)

    def _open(self, name: str) -> Monitored:
        """A series as it was left: its state, then the rows that came behind it.

        Alerts of all of them but the last were handed over before the next ones came.
        """
        one = Monitored(name, Journal(self._path(name, "jsonl")))
        state = self._path(name, "state")
        if state.exists():
            one.watch, extra = load_watch(state, copy.copy(self.detector))
            one.restore(extra)
        untold: list[Alert] = []
        for rows in one.journal.read():
            last = one.last
            untold = self._take(one, [row for row in rows if row.time > last])
        self._tell(one, untold)
        self.series[name] = one
        return one

    def _save(self, one: Monitored) -> None:
        """A state that makes the journal needless; while a series warms up, its rows are all there is."""
        if one.watch is not None:
            save_watch(one.watch, self._path(one.name, "state"), **one.extra())
        one.journal.replace(one.rows)

    def _path(self, name: str, suffix: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        return self.settings.data / f"{digest}.{suffix}"


def _name_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove it to forget its series") from None


def _refuse_other_width(one: Monitored, rows: Sequence[Row], mixed: int) -> None:
    widths = {len(row.values) for row in rows} | {len(row.values) for row in one.rows[:1]}
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
            try:
                self._monitor.push(settings.demo, rows)
            except BusyError as error:
                self._ended.wait(error.seconds)
                continue
            place, at = place + count, at + count * step
            live = at >= time.time()
            if live:
                self._ended.wait(step)

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join(5)
