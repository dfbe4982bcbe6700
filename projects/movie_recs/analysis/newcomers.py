"""New users after so many questions: informative ones, the most popular films, films at random."""

from collections.abc import Iterator

import numpy as np

from projects.movie_recs.data.ratings import Ratings
from projects.movie_recs.preferences.questionnaire import (
    at_random,
    halves,
    informative,
    most_rated,
    newcomer,
)
from projects.movie_recs.recommend.collaborative import ease
from shared.study import Item

COUNTS = (0, 1, 3, 5, 10)
FOLDS = 3
"""Each user is new in one of them, and taught from in the others."""
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
PENALTY = 100.0
FEWEST_LIKES = 4


def compare(ratings: Ratings, counts: tuple[int, ...] = COUNTS, candidates: int = 80) -> Iterator[Item]:
    """A line a user: nDCG@10 after each number of questions, by kind of question, and how many had an answer."""
    likes = np.bincount(ratings.user[ratings.liked], minlength=ratings.users)
    users = np.flatnonzero(likes >= FEWEST_LIKES)
    fold = np.random.default_rng(0).permutation(len(users)) % FOLDS
    for number in range(FOLDS):
        new, known = users[fold == number], users[fold != number]
        yield from _fold(ratings, new, known, number, counts, candidates)


def _fold(
    ratings: Ratings, new: np.ndarray, known: np.ndarray, seed: int, counts: tuple[int, ...], candidates: int
) -> Iterator[Item]:
    taught = ratings.where(np.isin(ratings.user, known)).likes()
    model, people = ease(taught, PENALTY), halves(ratings, known, seed)
    popular = most_rated(people, max(counts))
    weight = max(WEIGHTS, key=lambda w: np.nanmean(people.quality(newcomer(model, taught, w), popular)))
    who = newcomer(model, taught, weight)
    asked = {
        "informative": informative(people, who, max(counts), candidates),
        "popular": popular,
        "random": at_random(ratings.films, max(counts), seed),
    }
    tested = halves(ratings, new, seed)
    measured = {}
    for name, films in asked.items():
        for count in counts:
            measured[f"{name}_{count}"] = tested.quality(who, films[:count])
            measured[f"{name}_{count}_answered"] = np.asarray(tested.answered(films[:count])[1].sum(1)).ravel()
    for row in range(len(new)):
        numbers = {name: float(values[row]) for name, values in measured.items()}
        if numbers["popular_0"] == numbers["popular_0"]:
            yield numbers, {"fold": seed, "asked": asked, "weight": weight} if row == 0 else {"fold": seed}
