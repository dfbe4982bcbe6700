"""What every detector is: fitted on a prefix, then a score a point that depends on this point and some before it.

`score` judges a whole series, `stream` one point at a time; both give the same numbers, and neither changes a score
when more points follow (prefix invariance), unless `streams` is False, as of a full matrix profile.
"""

# n points · c channels · m points of the prefix

from abc import ABC, abstractmethod
from collections import deque
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from projects.ts_anomaly.data.clean import Scaler, filled


@runtime_checkable
class Stream(Protocol):
    """Scores points as they come."""

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        """Score of the next point; NaN while there are too few before it."""


class Detector(ABC):
    """A detector.

    Attributes:
        name: As tables call it.
        context: How many points before a point its score depends on, at most.
        streams: Whether a score never depends on what follows.
    """

    name: ClassVar[str]
    context: int = 0
    streams: ClassVar[bool] = True

    @abstractmethod
    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """Learn from a prefix; NaN is a gap. Returns itself."""

    @abstractmethod
    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """A score a point, the larger the more anomalous; NaN for the first points, which have too few before them."""

    def stream(self) -> Stream:
        """Scores one point at a time, from nothing on."""
        return Buffered(self)


class Buffered:
    """Streams any detector: keeps the points that the next score depends on, in bounded memory."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._points: deque[Float[np.ndarray, " c"]] = deque(maxlen=detector.context + 1)

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        """As `Stream.push`."""
        self._points.append(np.asarray(values, dtype=float))
        return float(self._detector.score(np.stack(self._points))[-1])


class Channelwise(Detector):
    """A detector of each channel alone, scaled by the prefix, gaps filled from the past; the worst channel counts.

    A gap's own score is 0 where all channels have one: what is not there is the monitor's business, not a value.
    """

    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """Fit the scale, then each channel."""
        self.scaler = Scaler.fit(prefix)
        self.channels = [self.fit_channel(each) for each in filled(self.scaler(prefix)).T]
        return self

    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """The largest score over channels."""
        scaled = self.scaler(values)
        return self.worst(filled(scaled), np.isnan(scaled))

    def worst(self, known: Float[np.ndarray, "n c"], gaps: Bool[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """The largest score over channels that have a value."""
        each = [self.score_channel(known[:, number], fitted) for number, fitted in enumerate(self.channels)]
        worst = np.where(gaps.T, -np.inf, np.stack(each)).max(0)
        return np.where(np.isneginf(worst), 0.0, worst)

    def stream(self) -> Stream:
        """One point at a time; a gap is filled with the last value, however long ago that was."""
        return _Filled(self)

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> object:
        """What is learned of one channel; nothing by default."""
        del prefix
        return ()

    @abstractmethod
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """Scores of one channel."""


class _Filled:
    """As `Buffered`, of filled values: a gap at the beginning of the buffer must not lose what was before it."""

    def __init__(self, detector: Channelwise) -> None:
        self._detector = detector
        self._points: deque[Float[np.ndarray, " c"]] = deque(maxlen=detector.context + 1)
        self._last = np.zeros(len(detector.channels))

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        scaled = self._detector.scaler(np.asarray(values, dtype=float)[None])[0]
        self._last = np.where(np.isnan(scaled), self._last, scaled)
        self._points.append(self._last)
        known = np.stack(self._points)
        gaps = np.zeros(known.shape, dtype=bool)
        gaps[-1] = np.isnan(scaled)
        return float(self._detector.worst(known, gaps)[-1])


def windows(values: Float[np.ndarray, " n"], length: int) -> Float[np.ndarray, "w length"]:
    """Every window of so many points, a view: row i begins at point i, and ends at point i + length − 1."""
    return np.lib.stride_tricks.sliding_window_view(values, length)


def from_windows(scores: Float[np.ndarray, " w"], n: int) -> Float[np.ndarray, " n"]:
    """Scores of windows at the last point of each, where they were known first; NaN before the first whole window.

    >>> from_windows(np.array([5.0, 6.0]), 4).tolist()
    [nan, nan, 5.0, 6.0]
    """
    return np.concatenate([np.full(n - len(scores), np.nan), scores])
