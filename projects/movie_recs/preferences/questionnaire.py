"""Which films to ask a new user about: those whose answers make the lists of people like him better.

u users · i films · q questions
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from projects.movie_recs.data.ratings import Ratings
from projects.movie_recs.evaluate import ndcg
from projects.movie_recs.recommend.collaborative import Scores, Similar, popularity

CANDIDATES = 80
"""Films that are tried for each question: the ones that most people have rated, since others have no answer."""


@dataclass(frozen=True)
class Newcomer:
    """Scores for somebody of whom only answers are known: what his likes say, over what most people like.

    Attributes:
        model: Weights between films.
        prior: Share of the users who like each film.
        weight: How much the prior counts beside the answers.
    """

    model: Similar
    prior: Float[np.ndarray, " i"]
    weight: float = 1.0

    def score(self, likes: csr_matrix) -> Scores:
        """Scores for these answers: without any, the most popular films."""
        return self.model.score(likes) + self.weight * self.prior


def newcomer(model: Similar, likes: csr_matrix, weight: float = 1.0) -> Newcomer:
    """From the model and the likes that it was learned from."""
    return Newcomer(model, popularity(likes) / max(likes.shape[0], 1), weight)


@dataclass(frozen=True)
class Simulated:
    """New users of whom one half of the ratings answers questions and the other is what lists should find.

    Attributes:
        likes: Those of the half that answers, 1 where a film is liked: (u, i).
        seen: The same half, 1 where a film was rated at all.
        wanted: Likes of the other half.
    """

    likes: csr_matrix
    seen: csr_matrix
    wanted: csr_matrix

    def answered(self, asked: Sequence[int]) -> tuple[csr_matrix, csr_matrix]:
        """(likes, seen) of the films that were asked about; an answer may be that a film was not seen."""
        shown = np.zeros(self.likes.shape[1], np.float32)
        shown[list(asked)] = 1
        return self.likes.multiply(shown).tocsr(), self.seen.multiply(shown).tocsr()

    def quality(self, who: Newcomer, asked: Sequence[int], k: int = 10) -> Float[np.ndarray, " u"]:
        """nDCG@k of each user after these questions; a film that he said he has seen is not shown again."""
        likes, seen = self.answered(asked)
        return ndcg(who.score(likes), self.wanted, seen, k)


def halves(ratings: Ratings, users: Int[np.ndarray, " u"], seed: int) -> Simulated:
    """These users with their ratings divided at random: one half answers, the other is wanted."""
    chosen = np.isin(ratings.user, users)
    first = np.random.default_rng(seed).random(len(ratings)) < 0.5
    place = {int(user): row for row, user in enumerate(users)}

    def rows(matrix: csr_matrix) -> csr_matrix:
        return matrix[sorted(place, key=lambda user: place[user])]

    answering, wanted = ratings.where(chosen & first), ratings.where(chosen & ~first)
    return Simulated(rows(answering.likes()), rows(answering.matrix()), rows(wanted.likes()))


def informative(people: Simulated, who: Newcomer, count: int, candidates: int = CANDIDATES) -> list[int]:
    """Questions chosen one after another, each the one that raises the mean nDCG of these people most.

    Of equal ones the film that more people have rated stands. Greedy, so that the first five of ten questions are the
    five that would be asked.

    Args:
        people: Users that the lists' quality is measured on, none of them the ones who will be asked.

    Source: Golbandi, Koren and Lempel 2010, "On bootstrapping recommender systems" (GreedyExtend), with nDCG in the
    place of the squared error.
    """
    pool = most_rated(people, candidates)
    chosen: list[int] = []
    for _ in range(min(count, len(pool))):
        qualities = [float(np.nanmean(people.quality(who, [*chosen, film]))) for film in pool]
        chosen.append(pool.pop(int(np.argmax(qualities))))
    return chosen


def most_rated(people: Simulated, count: int) -> list[int]:
    """The films that most have rated, most first; of equal ones the lower."""
    rated = np.asarray(people.seen.sum(0) + people.wanted.sum(0)).ravel()
    order: Int[np.ndarray, " i"] = np.argsort(-rated, kind="stable")
    return [int(film) for film in order[:count]]


def at_random(films: int, count: int, seed: int) -> list[int]:
    """Films drawn without replacement."""
    return [int(film) for film in np.random.default_rng(seed).permutation(films)[:count]]
