"""False alarms that were asked for and that came, on minutes of a metric whose normal moves; and how soon faults are
found.

The metric is made (no embedded series has months of minutes): a daily and a weekly course, noise that depends on its
past and is larger by day, and from the third week on a slow change of its level and its scale. Nothing in it is a
fault but what is injected into a copy.
"""

# n minutes

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.inject import inject, kinds
from projects.ts_anomaly.data.series import Series
from projects.ts_anomaly.evaluate import ranges
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.watch import Watch, WatchConfig, new_watch
from projects.ts_anomaly.scoring.events import merged
from projects.ts_anomaly.scoring.thresholds import (
    WEEK_OF_MINUTES,
    Spot,
    conformal_threshold,
    mad_threshold,
    quantile_threshold,
)
from projects.ts_anomaly.train import fit
from shared.study import Done

WEEKS = 6  # that are watched
GAP = 12
FIT, KNOWN = 6_000, WEEK_OF_MINUTES
SPACING = 1_440  # minutes between two faults
AGAIN = {"extreme values, fitted again": 2_048, "the same, on a week": WEEK_OF_MINUTES}
"""How many of the last minutes a new fit sees. That a week alarms less was seen on other seeds (11 to 13)."""


@dataclass(frozen=True)
class Row:
    """What a way of setting thresholds achieved.

    Attributes:
        method: Its name.
        alarms: Events that were opened, in all weeks, none of them a fault.
        weeks: Watched.
        found: Faults met by an alarm, of `faults`.
        faults: Injected into a copy, one a day.
        delay: Median steps from the beginning of a fault to its alarm.
    """

    method: str
    alarms: int
    weeks: int
    found: int
    faults: int
    delay: float


def server_metric(n: int, seed: int, *, moves: bool = True) -> Float[np.ndarray, " n"]:
    """Minutes of a load: made, and named so."""
    random, minute = np.random.default_rng(seed), np.arange(n)
    day, week = 2 * np.pi * minute / 1_440, 2 * np.pi * minute / 10_080
    noise = np.zeros(n)
    shocks = random.standard_normal(n)
    for t in range(1, n):
        noise[t] = 0.6 * noise[t - 1] + shocks[t]
    course = 40 + 12 * np.sin(day) + 4 * np.sin(2 * day + 1) + 3 * np.sin(week)
    moved = np.clip((minute - 2 * 10_080) / (3 * 10_080), 0, 1) if moves else np.zeros(n)
    return (course + (1 + 0.4 * np.sin(day)) * noise) * (1 + 0.5 * moved) + 15 * moved


def with_faults(
    values: Float[np.ndarray, " n"], prefix: Float[np.ndarray, " m"], seed: int
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """A copy with a fault a day, of the kinds never trained against and the two others."""
    random, changed, marks = np.random.default_rng(seed), values.copy(), np.zeros(len(values), dtype=bool)
    names = kinds("test")
    for place, start in enumerate(range(0, len(values) - SPACING + 1, SPACING)):
        day = slice(start, start + SPACING)
        put = inject(values[day], names[place % len(names)], "test", prefix, random, margin=200)
        changed[day], marks[day] = put.values, put.labels != 0
    return changed, marks


def watched(watch: Watch, values: Float[np.ndarray, " n"]) -> tuple[Bool[np.ndarray, " n"], int]:
    """Alarms of a watch, point by point, and how many events it opened."""
    points, told = watch.push_many((60.0 * minute, (value,)) for minute, value in enumerate(values.tolist()))
    return np.array([point.alarm for point in points]), sum(alert.kind == "opened" for alert in told)


def rows(seed: int, config: Config, weeks: int = WEEKS) -> Iterator[Row]:
    """Each way of setting a threshold, at one false alarm a week."""
    values = server_metric(KNOWN + weeks * WEEK_OF_MINUTES, seed)
    series = Series("server", values[:, None], None, FIT, KNOWN)
    detector, _ = fit(config, series)
    assert isinstance(detector, PatchTransformer)
    ahead = values[KNOWN:]
    faulty, marks = with_faults(ahead, values[:FIT], seed)
    known = detector.score(values[:KNOWN, None])[FIT:]
    scores = [detector.score(np.concatenate([values[:KNOWN], each])[:, None])[KNOWN:] for each in (ahead, faulty)]
    chance = 1 / WEEK_OF_MINUTES
    for name, level in (
        ("4 deviations", mad_threshold(known)),
        ("quantile", quantile_threshold(known, chance)),
        ("conformal", conformal_threshold(known, chance)),
        ("extreme values", Spot.fit(known, chance, gap=GAP).level),
    ):
        opened = len(merged(scores[0], scores[0] > level, level, GAP)) if np.isfinite(level) else 0
        yield _row(name, opened, weeks, scores[1] > level, marks)
    for name, memory in AGAIN.items():
        settings = WatchConfig(chance=chance, gap=GAP, interval=60.0, memory=memory)
        seen = []
        for each in (ahead, faulty):
            detector.fit(values[:FIT, None]).calibrate(values[:KNOWN, None], FIT)  # type: ignore[attr-defined]
            seen.append(watched(new_watch(detector, values[:KNOWN, None], FIT, settings), each))
        yield _row(name, seen[0][1], weeks, seen[1][0], marks)


def _row(name: str, opened: int, weeks: int, alarms: Bool[np.ndarray, " n"], marks: Bool[np.ndarray, " n"]) -> Row:
    every = ranges(marks)
    firsts = [np.flatnonzero(alarms[start : stop + GAP]) for start, stop in every]
    delays = [float(first[0]) for first in firsts if len(first)]
    return Row(name, opened, weeks, len(delays), len(every), float(np.median(delays)) if delays else -1.0)


def table_rows(group: list[Done]) -> list[dict[str, Any]]:
    """A row a method: alarms a week with the exact interval of a Poisson count, over all weeks of all seeds."""
    told = []
    methods = [item["method"] for item in group[0].items]
    for place, method in enumerate(methods):
        each = [
            {name: done.values(name)[place] for name in ("alarms", "weeks", "found", "faults", "delay")}
            for done in group
        ]
        count, weeks, found, faults = (
            sum(one[name] for one in each) for name in ("alarms", "weeks", "found", "faults")
        )
        low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
        delays = [one["delay"] for one in each if one["delay"] >= 0]
        row = {"method": method, "alarms": int(count), "weeks": int(weeks), "per_week": round(count / weeks, 4)}
        row |= {"low": round(low / weeks, 4), "high": round(chi2.ppf(0.975, 2 * count + 2) / 2 / weeks, 4)}
        told.append(
            {**row, "found": int(found), "faults": int(faults), "delay": float(np.mean(delays)) if delays else ""}
        )
    return told
