"""From alarms of points to events that a person can read: merged, with a peak and a severity."""

# n points

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Severity = Literal["low", "medium", "high"]
MEDIUM, HIGH = 1.25, 2.0  # times the threshold


@dataclass(frozen=True)
class Event:
    """A stretch of alarms.

    Attributes:
        start: First point.
        stop: The point behind the last alarm so far.
        peak: Largest score.
        peak_at: Where.
        threshold: That was in force at its start.
        open: Whether another alarm would still belong to it.
    """

    start: int
    stop: int
    peak: float
    peak_at: int
    threshold: float
    open: bool = True

    @property
    def severity(self) -> Severity:
        """By how many times the threshold its peak is; scores are surprise, so that twice is the square of the
        chance.
        """
        ratio = self.peak / self.threshold if self.threshold > 0 else np.inf
        return "high" if ratio >= HIGH else "medium" if ratio >= MEDIUM else "low"


class Events:
    """Merges alarms as they come: those at most `gap` points apart are one event.

    Args:
        gap: Quiet points that an event outlasts.
    """

    def __init__(self, gap: int = 12) -> None:
        self.gap = gap
        self.current: Event | None = None

    def push(self, at: int, score: float, threshold: float, *, alarm: bool) -> tuple[Event | None, Event | None]:
        """The event that this point opens, if it does, and that which is closed by now, if one is."""
        closed = None
        if self.current is not None and at - self.current.stop >= self.gap:
            closed, self.current = replace(self.current, open=False), None
        if not alarm:
            return None, closed
        if self.current is None:
            self.current = Event(at, at + 1, score, at, threshold)
            return self.current, closed
        best = score > self.current.peak
        peak, place = (score, at) if best else (self.current.peak, self.current.peak_at)
        self.current = replace(self.current, stop=at + 1, peak=peak, peak_at=place)
        return None, closed


def merged(scores: Float[np.ndarray, " n"], alarms: Bool[np.ndarray, " n"], threshold: float, gap: int) -> list[Event]:
    """The events of a whole series."""
    events, found = Events(gap), []
    for at in np.flatnonzero(alarms).tolist():
        _, closed = events.push(at, float(scores[at]), threshold, alarm=True)
        found += [closed] if closed else []
    return found + ([replace(events.current, open=False)] if events.current else [])
