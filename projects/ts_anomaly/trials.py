"""Judging a detector by injected anomalies in real normal stretches, each trial with one of them."""

# n points

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from projects.ts_anomaly.data.inject import Side, inject
from projects.ts_anomaly.data.series import Series
from projects.ts_anomaly.evaluate import auc_pr, ranges

CONTEXT = 512  # points before those that are judged, as they were
JUDGED = 512
MARGIN = 48  # judged points at both ends that stay normal


@dataclass(frozen=True)
class Trial:
    """Scores of one injection.

    Attributes:
        kind: What anomaly it is.
        labels: One a judged point.
        scores: One for each of the same.
        start: Where in the series the first of them is.
    """

    kind: str
    labels: Int[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    start: int = 0


Score = Callable[[Float[np.ndarray, "n c"]], Float[np.ndarray, " n"]]


def stretches(series: Series, part: str, judged: int) -> list[int]:
    """Where a stretch to be judged can begin: no anomaly of the series' own in it, nor, in the test part, before it.

    Args:
        part: "validation" or "test".
        judged: Points.
    """
    first, last = (series.fit, series.validation) if part == "validation" else (series.judged, len(series.values))
    before = np.concatenate([[0], np.cumsum(_odd(series))])
    context = 0 if part == "validation" else min(CONTEXT, first)
    return [at for at in range(first, last - judged + 1) if before[at + judged] == before[at - context]]


def _odd(series: Series) -> Bool[np.ndarray, " n"]:
    """Points that are labelled anomalous, or gaps."""
    gaps = np.isnan(series.values).any(1)
    return gaps if series.labels is None else gaps | (series.labels != 0)


def _width(series: Series, part: str) -> int:
    """Points to judge at once: JUDGED, or the longest normal stretch of the validation part where that is shorter."""
    if part == "test":
        return JUDGED
    normal = ranges(~_odd(series)[series.fit : series.validation])
    return min(JUDGED, max((stop - start for start, stop in normal), default=0))


def trials(
    score: Score,
    series: Series,
    kinds: tuple[str, ...],
    *,
    side: Side,
    part: str,
    count: int,
    seed: int,
    needs: int = CONTEXT,
) -> Iterator[Trial]:
    """Trials of each kind; the same stretches and anomalies for every detector that is given the same seed.

    A series with several channels gets its anomaly in one of them, drawn.

    Args:
        needs: Points before the first judged one that the detector looks at, at most.
    """
    width = _width(series, part)
    starts = stretches(series, part, width)
    for place, kind in enumerate(kinds):
        for number in range(count):
            random = np.random.default_rng([seed, place, number])
            start = int(random.choice(starts))
            context = min(CONTEXT, start)
            values = series.values[start - context : start + width].copy()
            channel = int(random.integers(values.shape[1]))
            prefix = series.prefix[:, channel]
            margin = min(MARGIN, width // 6)
            put = inject(values[context:, channel], kind, side, prefix[~np.isnan(prefix)], random, margin=margin)
            values[context:, channel] = put.values
            spare = max(0, context - needs)
            found = score(values[spare:])[context - spare :]
            yield Trial(kind, put.labels, np.where(np.isnan(found), -np.inf, found), start)


def pooled_auc_pr(found: list[Trial]) -> float:
    """AUC-PR over the points of all trials at once: scores must mean the same in each of them."""
    return auc_pr(np.concatenate([each.labels for each in found]), np.concatenate([each.scores for each in found]))
