"""Films that have ratings: popularity, neighbours, EASE and SVD on a division by time."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from projects.movie_recs.analysis.protocol import Judged, best_of, items, sides
from projects.movie_recs.data.ratings import Division, Ratings
from projects.movie_recs.recommend.collaborative import Scores, ease, neighbours, popularity, svd
from shared.study import Item

PENALTIES = (50.0, 100.0, 200.0, 400.0, 800.0)
NEIGHBOURS = ((20, 0.0), (50, 10.0), (100, 10.0), (100, 20.0), (200, 10.0))
WIDTHS = (10, 20, 40, 60, 80)
RECENT = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Share of the latest ratings that count as recent."""
Arm = Callable[[Ratings, Any], Scores]


def _everybody(counts: np.ndarray, users: int) -> Scores:
    return np.broadcast_to(counts, (users, len(counts)))


def popular(known: Ratings, _: None) -> Scores:
    """How many like a film."""
    return _everybody(popularity(known.likes()), known.users)


def recent(known: Ratings, share: float) -> Scores:
    """How many liked a film lately; of equal ones what is more popular in all."""
    late = known.where(known.time >= np.quantile(known.time, 1 - share))
    counts = popularity(late.likes()) + 1e-6 * popularity(known.likes())
    return _everybody(counts, known.users)


def at_random(known: Ratings, seed: int) -> Scores:
    """Chance."""
    return np.random.default_rng(seed).random((known.users, known.films))


ARMS: dict[str, tuple[Arm, tuple[Any, ...]]] = {
    "random": (at_random, (0,)),
    "popular": (popular, (None,)),
    "recent": (recent, RECENT),
    "neighbours": (lambda known, told: neighbours(known.likes(), *told).score(known.likes()), NEIGHBOURS),
    "ease": (lambda known, penalty: ease(known.likes(), penalty).score(known.likes()), PENALTIES),
    "svd": (lambda known, width: svd(known.likes(), width).score(known.likes()), WIDTHS),
}
"""Arm → its scores, and its candidates on validation: as many for every arm that has something to choose."""


def compare(division: Division) -> Iterator[Item]:
    """nDCG@10 and recall@20 of each arm for each user of the test, chosen on validation."""
    validation, test = sides(division)
    measures, chosen = {}, {}
    for name, (arm, candidates) in ARMS.items():
        chosen[name] = best_of(candidates, partial(_quality, validation, arm))
        scores = arm(test.known, chosen[name])
        measures[name], measures[f"{name}_recall"] = test.ndcg(scores), test.recall(scores)
    return items(measures, {"chosen": chosen})


def _quality(side: Judged, arm: Arm, told: Any) -> float:
    return side.quality(arm(side.known, told))


def unmatched(division: Division) -> tuple[int, int]:
    """Users of the test with a wish, and those of them of whom no like is known: they are told apart, not judged."""
    _, test = sides(division)
    wish = np.asarray(test.wanted.sum(1) > 0).ravel()
    return int(wish.sum()), int((wish & ~test.who).sum())
