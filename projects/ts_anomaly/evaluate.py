"""Measures of a detector: what a score and an alarm are worth, point by point, range by range, event by event.

Scores: the larger, the more anomalous; labels: 1 is anomalous. Nothing here looks at a threshold unless it is given
one. An event is a run of ones in the labels; where there are few, counts and intervals are of events, not of points.
"""

# n points · e events · k thresholds · w widths of the buffer

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Labels = Int[np.ndarray, " n"]
Scores = Float[np.ndarray, " n"]
Alarms = Bool[np.ndarray, " n"]


def ranges(labels: Shaped[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Runs of non-zero labels, each as its first index and the one behind its last.

    >>> ranges(np.array([0, 1, 1, 0, 1]))
    [(1, 3), (4, 5)]
    """
    edges = np.diff(np.concatenate([[0], (labels != 0).astype(int), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


# ---------------------------------------------------------------- without a threshold


def auc_pr(labels: Labels, scores: Scores) -> float:
    """Average precision: the sum of precision times the recall gained, over all distinct scores.

    A constant score has the share of anomalous points, whatever it says. NaN where nothing is anomalous.
    """
    if not labels.any():
        return float("nan")
    hits, alarms = _counts(labels, scores)
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float((gained * hits / alarms).sum())


def auc_roc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: the chance that an anomalous point scores above a normal one, ties half.

    At 1 % anomalous points it flatters: 100 normal points above every anomalous one cost 0.01 of 10,000 normal ones,
    while precision at full recall is then 0.5. NaN where there is one class.
    """
    positives, n = int(labels.sum()), len(labels)
    if positives in (0, n):
        return float("nan")
    hits, alarms = _counts(labels, scores)
    recall = np.concatenate([[0.0], hits / positives])
    false = np.concatenate([[0.0], (alarms - hits) / (n - positives)])
    return float(np.trapezoid(recall, false))


def _counts(labels: Labels, scores: Scores) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Anomalous points and points at or above each distinct score, from the highest on."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)  # of equal scores; NaN differs from all
    return np.cumsum(labels[order])[last], last + 1


def vus_pr(labels: Labels, scores: Scores, buffer: int, thresholds: int = 250) -> float:
    """Volume under the precision-recall surface over buffers of 0 to `buffer` points around each event.

    Labels fall off as √(1 − distance / buffer) over half a buffer on both sides; recall is multiplied by the share of
    events that are touched at all. One-point events gain most from the buffer: it stands beside AUC-PR, not instead.

    Args:
        buffer: At least 1, else it is the area at a buffer of 0.
        thresholds: Scores at so many evenly spaced ranks.

    Source: Paparrizos et al. 2022, "Volume under the surface", VLDB, §4; values as of the authors' package.
    """
    events = ranges(labels)
    if not events:
        return float("nan")
    at = np.linspace(0, len(scores) - 1, thresholds).astype(int)
    levels = -np.sort(-scores)[at]
    above = scores[None, :] >= levels[:, None]  # (k, n)
    alarms, inside = above.sum(1), above[:, labels != 0].sum(1)
    areas = []
    for width in range(buffer + 1):
        weights = _buffered(labels, events, width)
        hits = above @ weights
        positives = labels.sum() + (hits - inside) / 2  # half of the buffer counts as wanted, as far as it is used
        touched = _touched(scores, levels, events, width // 2)
        recall = np.minimum(hits / positives, 1) * touched
        areas.append(float((np.diff(recall, prepend=0.0) * hits / alarms).sum()))
    return float(np.mean(areas))


def _buffered(labels: Labels, events: list[tuple[int, int]], width: int) -> Float[np.ndarray, " n"]:
    """Labels with what falls off on both sides of each event."""
    weights, half = labels.astype(float), width // 2
    for start, stop in events:
        after = np.arange(stop, min(stop + half, len(labels)))
        before = np.arange(max(start - half, 0), start)
        weights[after] += np.sqrt(1 - (after - stop + 1) / width) if half else 0
        weights[before] += np.sqrt(1 - (start - before) / width) if half else 0
    return np.minimum(weights, 1.0)


def _touched(
    scores: Scores, levels: Float[np.ndarray, " k"], events: list[tuple[int, int]], half: int
) -> Float[np.ndarray, " k"]:
    """Share of events, those joined whose buffers meet, in which a score reaches each level."""
    joined: list[tuple[int, int]] = []
    for start, stop in events:
        start, stop = max(start - half, 0), min(stop + half, len(scores))
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    best = np.array([scores[start:stop].max() for start, stop in joined])
    return (best[None, :] >= levels[:, None]).mean(1)


# ---------------------------------------------------------------- with a threshold


def precision_recall_f1(labels: Labels, alarms: Alarms) -> tuple[float, float, float]:
    """Precision, recall and F1 of points; 0 where there is nothing to divide by."""
    hits = int((alarms & (labels != 0)).sum())
    return _f1(hits / max(int(alarms.sum()), 1), hits / max(int(labels.sum()), 1))


def _f1(precision: float, recall: float) -> tuple[float, float, float]:
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def best_f1(labels: Labels, scores: Scores) -> float:
    """F1 of points at the threshold that is best for these very labels: an upper bound, and never a result."""
    hits, alarms = _counts(labels, scores)
    return float((2 * hits / (alarms + labels.sum())).max())


def point_adjusted_f1(labels: Labels, scores: Scores) -> float:
    """F1 after every event that is touched once counts as found at all its points, at the best threshold for it.

    Shown beside a random score only: that one gets .9 and more with long events, so that it measures nothing.
    Source: Xu et al. 2018 introduced it; Kim et al. 2022, "Towards a rigorous evaluation", AAAI, say why not.
    """
    adjusted = scores.copy()
    for start, stop in ranges(labels):
        adjusted[start:stop] = scores[start:stop].max()
    return best_f1(labels, adjusted)


def range_f1(labels: Labels, alarms: Alarms, alpha: float = 0.0) -> tuple[float, float, float]:
    """Range-based precision, recall and F1 with flat bias and cardinality 1/x.

    Args:
        alpha: Weight of a range being touched at all in its recall.

    Source: Tatbul et al. 2018, "Precision and recall for time series", NeurIPS, eq. 4 to 8.
    """
    return _f1(*map(_mean, range_rewards(labels, alarms, alpha)))


def range_rewards(labels: Labels, alarms: Alarms, alpha: float = 0.0) -> tuple[list[float], list[float]]:
    """What each found range and each real one gets: range precision and recall are their means."""
    real, found = ranges(labels), ranges(alarms)
    recalled = [alpha * float(_overlap(each, found)[1] > 0) + (1 - alpha) * _rewarded(each, found) for each in real]
    return [_rewarded(each, real) for each in found], recalled


def _rewarded(one: tuple[int, int], others: list[tuple[int, int]]) -> float:
    covered, pieces = _overlap(one, others)
    return covered / (one[1] - one[0]) / max(pieces, 1)


def _overlap(one: tuple[int, int], others: list[tuple[int, int]]) -> tuple[int, int]:
    """Points of a range that others cover, and how many of them do."""
    lengths = [min(one[1], stop) - max(one[0], start) for start, stop in others]
    return sum(length for length in lengths if length > 0), sum(length > 0 for length in lengths)


def event_f1(labels: Labels, alarms: Alarms) -> tuple[float, float, float]:
    """Events found and alarms that meet one, each counted once however long it is."""
    return _f1(*map(_mean, event_hits(labels, alarms)))


def event_hits(labels: Labels, alarms: Alarms) -> tuple[list[float], list[float]]:
    """1 for each found range that meets a real one, and for each real one that is met, else 0."""
    real, found = ranges(labels), ranges(alarms)
    return tuple(
        [float(_overlap(each, others)[1] > 0) for each in own] for own, others in ((found, real), (real, found))
    )  # type: ignore[return-value]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def delays(labels: Labels, alarms: Alarms) -> list[int]:
    """Points from the start of each event that is found to its first alarm; 0 is at once."""
    firsts = [(start, np.flatnonzero(alarms[start:stop])) for start, stop in ranges(labels)]
    return [int(first[0]) for _, first in firsts if len(first)]


# ---------------------------------------------------------------- change points


def covering(true: Sequence[int], found: Sequence[int], n: int) -> float:
    """How well the segments between found changes cover the true ones: length-weighted best Jaccard index.

    Source: van den Burg and Williams 2020, "An evaluation of change point detection algorithms", eq. 7.
    """
    segments = [_segments(changes, n) for changes in (true, found)]
    total = 0.0
    for start, stop in segments[0]:
        best = max(_jaccard((start, stop), other) for other in segments[1])
        total += (stop - start) * best
    return total / n


def _segments(changes: Sequence[int], n: int) -> list[tuple[int, int]]:
    edges = [0, *sorted({change for change in changes if 0 < change < n}), n]
    return list(itertools.pairwise(edges))


def _jaccard(one: tuple[int, int], other: tuple[int, int]) -> float:
    common = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    return common / (one[1] - one[0] + other[1] - other[0] - common)


def change_f1(
    annotations: Sequence[Sequence[int]], found: Sequence[int], margin: int = 5
) -> tuple[float, float, float]:
    """Precision against what anybody marked, recall averaged over annotators; index 0 counts as a change for all.

    A true change is met once, by a found one at most `margin` away. Source: van den Burg and Williams 2020, §4.1.
    """
    detected = {0, *found}
    union = {0}.union(*map(set, annotations))
    precision = len(_met(union, detected, margin)) / len(detected)
    recall = float(np.mean([len(_met({0, *each}, detected, margin)) / len({0, *each}) for each in annotations]))
    return _f1(precision, recall)


def _met(true: set[int], found: set[int], margin: int) -> set[int]:
    left, met = set(found), set()
    for change in sorted(true):
        near = left & set(range(change - margin, change + margin + 1))
        if near:
            met.add(change)
            left.discard(min(near, key=lambda one: abs(one - change)))
    return met


# ---------------------------------------------------------------- intervals


def clustered_interval(
    measure: Callable[[Int[np.ndarray, " m"]], float], clusters: int, *, seed: int = 0, draws: int = 1000
) -> tuple[float, float]:
    """95 % percentile bootstrap over whole clusters: injections, events or series, never single points.

    Args:
        measure: Function of the indices of the clusters that were drawn, with repeats.
        clusters: How many there are.
    """
    random = np.random.default_rng(seed)
    values = [measure(random.integers(clusters, size=clusters)) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
