"""Anomalies put into normal stretches: eight kinds, of which a detector is trained against some and judged by others.

Sizes, lengths and which side a kind is on stand in kinds.toml, written before any detector. Every draw is seeded.
"""

# n points of a stretch · m of the prefix

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

Side = Literal["train", "test"]
KINDS = Path(__file__).with_name("kinds.toml")


@dataclass(frozen=True)
class Injected:
    """A stretch with an anomaly in it.

    Attributes:
        values: The stretch.
        labels: 1 from the first to the last point that was changed.
    """

    values: Float[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]


@cache
def read_kinds() -> dict[str, dict[str, Any]]:
    """What kinds.toml says."""
    return tomllib.loads(KINDS.read_text(encoding="utf-8"))


def kinds(side: Side) -> tuple[str, ...]:
    """The kinds of one side."""
    return tuple(name for name, told in read_kinds().items() if side in told)


def inject(
    values: Float[np.ndarray, " n"],
    kind: str,
    side: Side,
    prefix: Float[np.ndarray, " m"],
    random: np.random.Generator,
    *,
    margin: int = 0,
) -> Injected:
    """Put one anomaly of a kind into a copy of a stretch.

    Args:
        values: A normal stretch of a single channel.
        side: Whose sizes and lengths are drawn.
        prefix: The training prefix: its standard deviation is the unit of sizes.
        margin: Points at both ends that stay as they are.
    """
    told = read_kinds()[kind][side]
    length = int(_drawn(told["lengths"], random, whole=True))
    length = max(1, min(length, len(values) - 2 * margin - 1))
    size = float(_drawn(told["sizes"], random)) * float(random.choice([-1.0, 1.0]))
    start = int(random.integers(max(margin, 1), len(values) - margin - length + 1))
    changed, labels = values.copy(), np.zeros(len(values), dtype=int)
    stretch = slice(start, start + length)
    changed[stretch] = _changed(kind, values, start, length, size * float(np.nanstd(prefix)), prefix, random)
    labels[stretch] = 1
    return Injected(changed, labels)


def _drawn(intervals: list[list[Any]], random: np.random.Generator, *, whole: bool = False) -> float:
    """A number from one of several intervals, each as likely as it is wide."""
    widths = np.array([high - low + whole for low, high in intervals], dtype=float)
    share = widths / widths.sum() if widths.sum() else np.full(len(widths), 1 / len(widths))
    low, high = intervals[int(random.choice(len(intervals), p=share))]
    return float(random.integers(int(low), int(high) + 1)) if whole else float(random.uniform(low, high))


def _changed(
    kind: str,
    values: Float[np.ndarray, " n"],
    start: int,
    length: int,
    size: float,
    prefix: Float[np.ndarray, " m"],
    random: np.random.Generator,
) -> Float[np.ndarray, " length"]:
    """What stands in the stretch from `start` on; `size` is in the series' own unit, and has a sign."""
    there, steps = values[start : start + length], np.arange(length)
    if kind in ("spike", "level"):
        return there + size
    if kind == "burst":
        return there + abs(size) * random.standard_normal(length)
    if kind == "drift":
        return there + size * (steps + 1) / length
    if kind == "flat":
        return np.full(length, values[start - 1])
    if kind == "mirror":
        return 2 * np.nanmean(there) - there
    if kind == "frequency":
        folded = 1 - np.abs(1 - (3 * steps / length) % 2)  # 0 → 1 → 0 → 1 within the stretch
        return np.interp(start + folded * length, np.arange(len(values)), values)
    assert kind == "swap", kind
    place = int(random.integers(0, len(prefix) - length))
    return prefix[place : place + length].copy()
