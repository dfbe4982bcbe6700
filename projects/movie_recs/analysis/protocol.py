"""What every protocol shares: who is judged, and a choice made on validation before the test is read once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix

from projects.movie_recs.data.ratings import Division, Ratings
from projects.movie_recs.evaluate import ndcg, recall, with_wishes
from projects.movie_recs.recommend.collaborative import Scores
from shared.study import Item

Setting = TypeVar("Setting")


@dataclass(frozen=True)
class Judged:
    """Users whose wishes are known, and what is known of them.

    Attributes:
        known: What predictions are made from.
        wanted: Likes that lists should find: (u, i).
        who: Users with a known like and a wish; nobody else is judged.
    """

    known: Ratings
    wanted: csr_matrix
    who: Bool[np.ndarray, " u"]

    def ndcg(self, scores: Scores, k: int = 10) -> Float[np.ndarray, " n"]:
        """nDCG@k of each judged user over the whole catalogue without what is known of him."""
        return ndcg(scores[self.who], self.wanted[self.who], self.known.matrix()[self.who], k)

    def recall(self, scores: Scores, k: int = 20) -> Float[np.ndarray, " n"]:
        """Recall@k of each judged user."""
        return recall(scores[self.who], self.wanted[self.who], self.known.matrix()[self.who], k)

    def quality(self, scores: Scores) -> float:
        """The mean nDCG@10: what choices are made by."""
        return float(self.ndcg(scores).mean())


def judged(known: Ratings, later: Ratings) -> Judged:
    """Users with a like in both; what was rated before is wanted no more."""
    wanted = later.likes()
    return Judged(known, wanted, with_wishes(wanted, known.likes()))


def sides(division: Division) -> tuple[Judged, Judged]:
    """(validation, test): the former known from train alone, the latter from train and validation."""
    return judged(division.train, division.validation), judged(division.known, division.test)


def best_of(settings: Sequence[Setting], quality: Callable[[Setting], float]) -> Setting:
    """The setting that is best on validation; of equal ones the first."""
    return max(settings, key=quality)


def items(measures: Mapping[str, Float[np.ndarray, " _"]], kept: Mapping[str, Any]) -> Iterator[Item]:
    """A line a user: every measure's value of him; what was chosen is kept with the first."""
    count = len(next(iter(measures.values())))
    for number in range(count):
        numbers = {name: float(values[number]) for name, values in measures.items()}
        yield {name: value for name, value in numbers.items() if value == value}, dict(kept) if number == 0 else {}
