"""One monitored series: points with times in, alerts out; bounded memory; a state that is saved and resumed exactly.

Values go onto a regular grid as they come. A step without a value is a gap; if nothing at all comes the watch says so
when the silence is long enough, not when it is over. What is normal may move: if the drift gate opens, scale, tails and
threshold are fitted again on the last points, alarms left out.
"""

# c channels · n points of the buffer

import copy
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.data.clean import Scaler
from projects.ts_anomaly.models.detectors import HEADS, Carried, PatchTransformer, combined
from projects.ts_anomaly.monitor.drift import MOST_ALARMS, DriftGate
from projects.ts_anomaly.scoring.events import Event, Events
from projects.ts_anomaly.scoring.thresholds import Spot
from shared.errors import UserError

MOST_MEMORY = 100_000  # points of a new fit
RECENT = 512  # points that the drift gate looks at, and how often
LONGEST_GAP = 512  # steps of a pause that are filled with gaps; a longer one is a new beginning
SILENCE = 10  # steps without anything
SHORTEST = 1e-6  # seconds of a step
FEWEST = 32  # of each kind of evidence that a fit needs, from every channel


@dataclass(frozen=True)
class Alert:
    """What a person is told.

    Attributes:
        kind: opened and closed of an event; silence and back of the data; channel if one has gone; refit.
        time: Seconds since 1970, of the step that it is about.
        step: Its number.
        score: Surprise, −log₁₀ of a chance; 0 where it has none.
        threshold: In force.
        severity: How grave the event is; "" without one.
        detail: In words.
    """

    kind: Literal["opened", "closed", "silence", "back", "channel", "refit"]
    time: float
    step: int
    score: float = 0.0
    threshold: float = 0.0
    severity: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Point:
    """What became of one step.

    Attributes:
        time: When the step was, in seconds.
        step: Its number, from 0.
        values: One a channel; NaN is a gap.
        score: Surprise; NaN while too little was seen.
        threshold: In force.
        alarm: Whether the score is above it.
    """

    time: float
    step: int
    values: tuple[float, ...]
    score: float
    threshold: float
    alarm: bool


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """How a watch behaves.

    Attributes:
        chance: How likely a false alarm at a step may be: 1 / 10,080 is one a week of minutes.
        gap: Quiet steps that an event outlasts.
        interval: Seconds of a step; None takes the first distance of two times.
        memory: Points that a new fit sees; 0 never fits again.
        threshold: Set by hand, instead of the one from extreme values.
    """

    chance: float = 1 / 10_080
    gap: int = 12
    interval: float | None = None
    memory: int = 2048
    threshold: float | None = None


@dataclass
class Watch:
    """A detector on a stream.

    Attributes:
        detector: Trained and calibrated.
        config: How to behave.
        spot: Its threshold.
        gate: Decides on a new fit.
    """

    detector: PatchTransformer
    config: WatchConfig
    spot: Spot
    gate: DriftGate
    carried: Carried = field(init=False)
    events: Events = field(init=False)
    begun: float | None = None
    step: int = -1
    interval: float | None = None
    silent: bool = False
    refits: int = 0
    gone: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Before the first point."""
        self.carried, self.events = self.detector.begin(), Events(self.config.gap)
        self.interval = self.config.interval
        self.values: deque[tuple[float, ...]] = deque(maxlen=max(self.config.memory, 1))
        self.scores: deque[float] = deque(maxlen=RECENT)
        self.alarms: deque[bool] = deque(maxlen=max(self.config.memory, RECENT))

    @property
    def level(self) -> float:
        """The threshold in force."""
        return self.spot.level if self.config.threshold is None else self.config.threshold

    def push(self, time: float, values: Sequence[float]) -> tuple[list[Point], list[Alert]]:
        """The next row: the steps that it completes (gaps before it, then its own), and what to tell.

        A time that does not go on is dropped. A pause of more than LONGEST_GAP steps begins anew, behind a gap.
        """
        return self.push_many([(time, values)])

    def push_many(self, rows: Iterable[tuple[float, Sequence[float]]]) -> tuple[list[Point], list[Alert]]:
        """As `push` of each row in turn, to rounding, and many times as fast: the model reads them at once."""
        points: list[Point] = []
        alerts: list[Alert] = []
        waiting: list[tuple[float, ...]] = []
        nothing = (math.nan,) * len(self.detector.scaler.centre)
        for time, values in rows:
            place = self._place(time)
            missing = place - self.step - len(waiting) - 1
            if missing < 0:
                continue
            if self.silent:
                alerts.append(Alert("back", time, place))
                self.silent = False
            if missing > LONGEST_GAP:
                self._judge(waiting, points, alerts)
                self.carried, self.step, missing = self.detector.begin(), place - 1, 0
            waiting += [nothing] * missing + [tuple(map(float, values))]
            if len(waiting) >= RECENT:
                self._judge(waiting, points, alerts)
        self._judge(waiting, points, alerts)
        return points, alerts

    def tick(self, now: float) -> list[Alert]:
        """What to tell if nothing came until now: once, when SILENCE steps have passed."""
        if self.begun is None or self.interval is None or self.silent:
            return []
        missing = (now - self.begun) / self.interval - self.step
        if missing < SILENCE:
            return []
        self.silent = True
        return [Alert("silence", now, self.step, detail=f"{missing:.0f} steps without a value")]

    def _place(self, time: float) -> int:
        """Number of the step that a time belongs to."""
        if self.begun is None:
            self.begun = time
            return 0
        if self.interval is None:
            if time <= self.begun:
                return -1
            self.interval = max(time - self.begun, SHORTEST)
        return round((time - self.begun) / self.interval)

    def _time(self) -> float:
        assert self.begun is not None
        return self.begun + self.step * (self.interval or 0.0)

    def _judge(self, waiting: list[tuple[float, ...]], points: list[Point], alerts: list[Alert]) -> None:
        """The steps that wait, up to where there may be a new fit, and on from there; none is left."""
        while waiting:
            size = RECENT - (self.step + 1) % RECENT
            rows, waiting[:size] = waiting[:size], []
            surprise = self.detector.judge(self.detector.evidence(np.array(rows), self.carried))
            for place, (row, score) in enumerate(zip(rows, combined(surprise).tolist(), strict=True)):
                self.step += 1
                point, told = self._take(row, score, surprise[:, :, place])
                points.append(point)
                alerts += told

    def _take(
        self, row: tuple[float, ...], score: float, surprise: Float[np.ndarray, "c h"]
    ) -> tuple[Point, list[Alert]]:
        """What is made of a score: threshold, events, memory."""
        level, time = self.level, self._time()
        known = not all(map(math.isnan, row))
        alarm = known and score > level
        if known and not alarm:
            self.spot.push(score)
        opened, closed = self.events.push(self.step, score, level, alarm=alarm)
        alerts = [_told("closed", each, time) for each in (closed,) if each]
        alerts += [_told("opened", each, time, _why(surprise)) for each in (opened,) if each]
        alerts += self._channels(row, time)
        self.values.append(row)
        self.scores.append(score if known else math.nan)
        self.alarms.append(alarm)
        if self.config.memory and (self.step + 1) % RECENT == 0 and len(self.values) == self.values.maxlen:
            alerts += self._refit_if_moved(time)
        return Point(time, self.step, row, score, level, alarm), alerts

    def _channels(self, row: tuple[float, ...], time: float) -> list[Alert]:
        """Tell of a channel, once, that has gone while others go on."""
        told = []
        if len(row) > 1 and not all(map(math.isnan, row)):
            for channel, value in enumerate(row):
                self.gone[channel] = self.gone.get(channel, 0) + 1 if math.isnan(value) else 0
                if self.gone[channel] == SILENCE:
                    told.append(Alert("channel", time, self.step, detail=f"channel {channel} has gone"))
        return told

    def _refit_if_moved(self, time: float) -> list[Alert]:
        recent, alarms = np.array(self.scores), np.array(self.alarms)
        lasting = min(float(part.mean()) for part in np.array_split(alarms, 4)) > MOST_ALARMS
        if not self.gate.opens(recent, float(alarms[-RECENT:].mean()), lasting=lasting):
            return []
        if not self.refit(keep=lasting):
            return []
        return [Alert("refit", time, self.step, threshold=self.level, detail="what is normal has moved")]

    def refit(self, *, keep: bool = False) -> bool:
        """Scale, tails, threshold and gate from the last points; the weights stay.

        Args:
            keep: Whether points of alarms are normal now; else they are left out.

        Returns:
            Whether there was enough to fit on; if not, as of a channel that has gone, all stays as it was.
        """
        values, alarms = np.array(self.values), np.array(self.alarms)[-len(self.values) :]
        if not keep:
            values[alarms] = np.nan
        if np.isnan(values).all(0).any():
            return False
        before, self.detector.scaler = self.detector.scaler, Scaler.fit(values)
        carried = self.detector.begin()
        start = min(self.detector.model.patch * 16, len(values) // 4)
        evidence = self.detector.evidence(values, carried)[:, :, start:]
        if np.isfinite(evidence).sum(2).min() < FEWEST:
            self.detector.scaler = before
            return False
        self.carried = carried
        self.detector.fit_tails(evidence)
        scores = combined(self.detector.judge(evidence))
        self.spot = Spot.fit(scores, self.config.chance, gap=self.config.gap)
        self.gate = DriftGate(scores, self.gate.least)
        self.refits += 1
        return True


def _told(kind: Literal["opened", "closed"], event: Event, time: float, detail: str = "") -> Alert:
    detail = detail or f"steps {event.start} to {event.stop - 1}, largest at {event.peak_at}"
    return Alert(kind, time, event.start, event.peak, event.threshold, event.severity, detail)


def _why(surprise: Float[np.ndarray, "c h"]) -> str:
    """Channel and kind of evidence that decided."""
    channel, place = np.unravel_index(int(surprise.argmax()), surprise.shape)
    return f"channel {int(channel)}: {HEADS[int(place)]}"


def new_watch(detector: PatchTransformer, normal: Float[np.ndarray, "n c"], start: int, config: WatchConfig) -> Watch:
    """A watch whose threshold comes from a detector's scores of normal data.

    Args:
        normal: The part trained on, then that for validation.
        start: Where the latter begins.
    """
    scores = detector.score(normal)[start:]
    return Watch(
        detector, config, Spot.fit(scores, config.chance, gap=config.gap), DriftGate(scores[np.isfinite(scores)])
    )


def warmed(detector: PatchTransformer, rows: Float[np.ndarray, "n c"], config: WatchConfig) -> Watch:
    """A watch of a series that the detector was not trained on: scale, tails and threshold come from its first points.

    The weights are shared with the detector that is given, the rest is the watch's own.

    Raises:
        UserError: If a channel had too few values yet, or the detector mixes another number of channels.
    """
    if detector.model.channels not in (1, rows.shape[1]):
        raise UserError(f"this detector mixes {detector.model.channels} channels; the series has {rows.shape[1]}")
    own = copy.copy(detector)
    own.scaler = Scaler(np.zeros(rows.shape[1]), np.ones(rows.shape[1]))  # until `refit` has found one
    watch = Watch(own, config, Spot(config.chance, config.gap, 0.0, math.inf, 0), DriftGate(np.zeros(0)))
    watch.values.extend(map(tuple, rows.tolist()))
    watch.alarms.extend([False] * len(rows))
    if not watch.refit():
        raise UserError("a channel has too few values to fit on")
    watch.refits = 0
    return watch
