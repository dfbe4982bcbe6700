"""Thresholds set without labels, from scores of normal data alone: quantile, deviations, conformal, extreme values.

A chance is that of a normal point (or, for `Spot` with a gap, of a new run of points) to be above the threshold: one
false alarm a week of minutes is 1 / 10,080.
"""

# m calibration scores

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.scoring.tails import Tail, fit_pareto

WEEK_OF_MINUTES = 10_080


def quantile_threshold(scores: Float[np.ndarray, " m"], chance: float) -> float:
    """The empirical quantile: no wiser than the largest score once chance < 1 / m."""
    return float(np.quantile(scores, 1 - chance))


def mad_threshold(scores: Float[np.ndarray, " m"], deviations: float = 4.0) -> float:
    """Median plus so many robust deviations: the fixed 4σ of many tools, whose rate nobody asked for."""
    median = float(np.median(scores))
    return median + deviations * 1.4826 * float(np.median(np.abs(scores - median)))


def conformal_threshold(scores: Float[np.ndarray, " m"], chance: float) -> float:
    """The ⌈(m + 1)(1 − chance)⌉-th smallest score: if scores are exchangeable, a new one exceeds it with at most
    `chance`.

    Infinite where m scores cannot promise it (chance < 1 / (m + 1)). Series are not exchangeable: what is achieved is
    measured beside what was asked for. Source: Vovk et al. 2005; Laxhammar and Falkman 2014 for anomalies.
    """
    rank = math.ceil((len(scores) + 1) * (1 - chance) - 1e-12)
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


@dataclass
class Spot:
    """Peaks over a threshold in a stream, and the level that a new peak exceeds with a chance that was asked for.

    Attributes:
        chance: How likely an alarm may be, a point (gap 0) or a new run of points.
        gap: Points below the initial threshold that end a run; the largest score of a run is its peak, so that a
            fault that lasts counts once (Coles 2001, §5.3.2).
        initial: The threshold over which peaks are collected.
        level: The threshold of alarms.
        seen: Points that peaks were collected from.
        peaks: The last excesses over the initial threshold, alarms left out.
        run: Largest score of the run that is open, −∞ without one; `below` counts points since its last.

    Source: Siffer et al. 2017, "Anomaly detection in streams with extreme value theory", KDD, Algorithm 1.
    """

    chance: float
    gap: int
    initial: float
    level: float
    seen: int
    peaks: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    total: int = 0
    run: float = -math.inf
    below: int = 0
    every: int = 8

    @classmethod
    def fit(cls, scores: Float[np.ndarray, " m"], chance: float, *, gap: int = 0, initial: float = 0.97) -> "Spot":
        """From scores of normal data in the order of time.

        Args:
            initial: Quantile of the scores over which peaks are collected.
        """
        known = scores[np.isfinite(scores)]
        spot = cls(chance, gap, float(np.quantile(known, initial)), math.inf, 0)
        for score in known.tolist():
            spot._collect(score)
        spot._end_run()
        spot._refit()
        return spot

    def push(self, score: float) -> bool:
        """Whether the score is above the level; if not, it may move the level."""
        if not math.isfinite(score):
            return False
        if score > self.level:
            return True
        before = self.total
        self._collect(score)
        if self.total // self.every != before // self.every:
            self._refit()
        return False

    def _collect(self, score: float) -> None:
        self.seen += 1
        if score > self.initial:
            self.run, self.below = max(self.run, score), 0
            if self.gap == 0:
                self._end_run()
        elif self.run > -math.inf:
            self.below += 1
            if self.below >= self.gap:
                self._end_run()

    def _end_run(self) -> None:
        if self.run > -math.inf:
            self.peaks.append(self.run - self.initial)
            self.total += 1
        self.run, self.below = -math.inf, 0

    def _refit(self) -> None:
        if len(self.peaks) < 5:
            self.level = self.initial + 2 * max(self.peaks, default=abs(self.initial))
            return
        shape, scale = fit_pareto(np.array(self.peaks))
        tail = Tail(np.zeros(1), self.initial, self.total / self.seen, shape, scale)
        ratio = self.chance / tail.share
        self.level = tail.quantile(self.chance) if ratio < 1 else self.initial

    def as_json(self) -> dict[str, Any]:
        """Plain values; infinities as text, since JSON has none."""
        told = {**vars(self), "peaks": list(self.peaks)}
        return {name: str(value) if value in (math.inf, -math.inf) else value for name, value in told.items()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Spot":
        """Undo of `as_json`."""
        plain: dict[str, Any] = {
            name: float(value) if value in ("inf", "-inf") else value for name, value in told.items()
        }
        return cls(**{**plain, "peaks": deque(told["peaks"], maxlen=1000)})
