"""Which articles are seen in an epoch. Only training is sampled: validation and test keep the prior that news have."""

from collections import defaultdict
from collections.abc import Sequence

import torch

from shared.batching import shuffled


def over_sampled(labels: Sequence[int], source: torch.Generator, most: int = 10) -> list[int]:
    """Rows of an epoch in which small topics are repeated until they have as many as the largest.

    Args:
        labels: Topics of the training articles.
        source: Decides which of a topic come once more.
        most: How often one article is seen at most: a topic of two would else be repeated a thousand times.
    """
    by_topic = _by_topic(labels)
    wanted = max(map(len, by_topic.values()))
    chosen: list[int] = []
    for rows in by_topic.values():
        size = min(wanted, most * len(rows))
        whole, rest = divmod(size, len(rows))
        chosen += rows * whole + [rows[i] for i in shuffled(len(rows), source)[:rest]]
    return chosen


def under_sampled(labels: Sequence[int], source: torch.Generator, fewest: int = 100) -> list[int]:
    """Rows of an epoch in which large topics are cut to the median size, or to `fewest` where that is smaller.

    Down to the smallest would leave one article a topic in R52. Each epoch draws others.
    """
    by_topic = _by_topic(labels)
    sizes = sorted(map(len, by_topic.values()))
    wanted = max(fewest, sizes[len(sizes) // 2])
    return [rows[i] for rows in by_topic.values() for i in shuffled(len(rows), source)[:wanted]]


def epoch_rows(balance: str, labels: Sequence[int], source: torch.Generator) -> list[int]:
    """Rows of an epoch in an order that `source` decides."""
    if balance == "over":
        rows = over_sampled(labels, source)
    elif balance == "under":
        rows = under_sampled(labels, source)
    else:
        rows = list(range(len(labels)))
    return [rows[i] for i in shuffled(len(rows), source)]


def _by_topic(labels: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        found[label].append(row)
    return dict(found)
