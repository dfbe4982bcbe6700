"""Ratings with their times, and how they are divided: by each user's own time, or by one date for all.

u users · i films
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

LIKED = 4.0
"""Stars from which on a film counts as liked, of 5."""
DISLIKED = 2.5
"""Stars up to which a film counts as disliked."""


@dataclass(frozen=True)
class Ratings:
    """Ratings in rising order of user, time and film.

    Attributes:
        user: Row of each rating's user, from 0.
        film: Column of its film, from 0.
        stars: 0.5 to 5.
        time: Seconds since 1970.
        users: How many there are in all, with ratings here or not; `films` likewise.
    """

    user: Int[np.ndarray, " n"]
    film: Int[np.ndarray, " n"]
    stars: Float[np.ndarray, " n"]
    time: Int[np.ndarray, " n"]
    users: int
    films: int

    def __len__(self) -> int:
        return len(self.user)

    def where(self, chosen: Bool[np.ndarray, " n"]) -> "Ratings":
        """Those ratings alone, of as many users and films as before."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in ("user", "film", "stars", "time")})

    @property
    def liked(self) -> Bool[np.ndarray, " n"]:
        """Which are likes."""
        return self.stars >= LIKED

    @property
    def disliked(self) -> Bool[np.ndarray, " n"]:
        """Which are dislikes."""
        return self.stars <= DISLIKED

    def matrix(self) -> csr_matrix:
        """1 where a user rated a film, whatever the stars: (u, i)."""
        return self._matrix(np.ones(len(self), bool))

    def likes(self) -> csr_matrix:
        """1 where a user liked a film: (u, i)."""
        return self._matrix(self.liked)

    def dislikes(self) -> csr_matrix:
        """1 where a user disliked a film: (u, i)."""
        return self._matrix(self.disliked)

    def _matrix(self, chosen: Bool[np.ndarray, " n"]) -> csr_matrix:
        ones = np.ones(int(chosen.sum()), np.float32)
        return csr_matrix((ones, (self.user[chosen], self.film[chosen])), shape=(self.users, self.films))

    def of_films(self, columns: Sequence[int]) -> "Ratings":
        """The ratings of these films alone, whose columns are counted anew in this order."""
        place = np.full(self.films, -1)
        place[list(columns)] = np.arange(len(columns))
        kept = self.where(place[self.film] >= 0)
        return in_order(kept.user, place[kept.film], kept.stars, kept.time, self.users, len(columns))


def in_order(user: Any, film: Any, stars: Any, time: Any, users: int, films: int) -> Ratings:
    """Ratings sorted by user, time and film; of two of one user and film the later one stands.

    Within a second the order of a user's ratings is unknown: films stand by their column there.
    """
    user, film = np.asarray(user, np.int64), np.asarray(film, np.int64)
    stars, time = np.asarray(stars, np.float32), np.asarray(time, np.int64)
    latest = np.lexsort((time, film, user))
    last = np.append(np.diff(user[latest] * films + film[latest]) != 0, True) if len(latest) else np.zeros(0, bool)
    kept = latest[last]
    order = kept[np.lexsort((film[kept], time[kept], user[kept]))]
    return Ratings(user[order], film[order], stars[order], time[order], users, films)


@dataclass(frozen=True)
class Division:
    """What is learned from, what choices are made on, and what is read once.

    Attributes:
        train: Ratings of every kind.
        validation: Ratings of which the likes are to be found, with `train` known.
        test: The same, with `train` and `validation` known.
    """

    train: Ratings
    validation: Ratings
    test: Ratings

    @property
    def known(self) -> Ratings:
        """Train and validation together: what the test is predicted from."""
        pair = (self.train, self.validation)
        user, film, stars, time = (
            np.concatenate([getattr(each, name) for each in pair]) for name in ("user", "film", "stars", "time")
        )
        return in_order(user, film, stars, time, self.train.users, self.train.films)


def last_likes(ratings: Ratings, held: int = 5, fewest: int = 20) -> Division:
    """Each user's last `held` likes are the test and the `held` before them validation; the rest is train.

    What a user rated after the first like that is held out is left out of what is known. Users with fewer than `fewest`
    likes hold nothing out.
    """
    validation_from, test_from = _starts(ratings, held, fewest)
    place = np.arange(len(ratings))
    train = place < validation_from[ratings.user]
    later = ~train & ratings.liked
    first = place < test_from[ratings.user]
    return Division(ratings.where(train), ratings.where(later & first), ratings.where(later & ~first))


def _starts(ratings: Ratings, held: int, fewest: int) -> tuple[Int[np.ndarray, " u"], Int[np.ndarray, " u"]]:
    """Place in the ratings from which on a user's validation, and test, begin; behind the end for users without."""
    validation_from = np.full(ratings.users, len(ratings))
    test_from = validation_from.copy()
    liked = np.flatnonzero(ratings.liked)
    for user in range(ratings.users):
        own = liked[np.searchsorted(ratings.user[liked], user) : np.searchsorted(ratings.user[liked], user, "right")]
        if len(own) >= max(fewest, 2 * held + 1):
            validation_from[user], test_from[user] = own[-2 * held], own[-held]
    return validation_from, test_from


def by_time(ratings: Ratings, shares: tuple[float, float] = (0.6, 0.8), fewest: int = 5) -> Division:
    """Each user's ratings divided by his own time: up to the first share train, up to the second validation, then test.

    Users with fewer than `fewest` ratings are in train alone.
    """
    counts = np.bincount(ratings.user, minlength=ratings.users)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    nth = np.arange(len(ratings)) - starts[ratings.user]
    cuts = [np.where(counts >= fewest, np.ceil(share * counts), counts)[ratings.user] for share in shares]
    return Division(
        ratings.where(nth < cuts[0]), ratings.where((nth >= cuts[0]) & (nth < cuts[1])), ratings.where(nth >= cuts[1])
    )


def by_date(ratings: Ratings, shares: tuple[float, float] = (0.8, 0.9)) -> Division:
    """All users divided at the same two dates, before which lie these shares of the ratings."""
    first, second = np.quantile(ratings.time, shares, method="higher")
    return Division(
        ratings.where(ratings.time < first),
        ratings.where((ratings.time >= first) & (ratings.time < second)),
        ratings.where(ratings.time >= second),
    )
