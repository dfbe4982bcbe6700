"""What lists are made from, in memory: the engine, counts of opinions, and what content says of films nobody rated.

It follows from the disk: whoever changes something has written it before (server/service.py).
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from projects.movie_recs.config import Config
from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.films import Film
from projects.movie_recs.data.ratings import DISLIKED, LIKED, Ratings
from projects.movie_recs.embeddings.index import Index
from projects.movie_recs.feedback.online import Counts
from projects.movie_recs.feedback.store import Opinion
from projects.movie_recs.recommend.cold import Describer, Head, describer, fit_head
from projects.movie_recs.recommend.engine import Engine, Parts

PENALTY, GAMMA, RIDGE = Config().penalty, Config().gamma, Config().ridge
FIELDS = {"text": 1.0, "genres": 1.0, "people": 1.0, "years": 1.0}
LARGEST_MODEL = 2_500
"""Films up to which EASE follows each rating: its matrix grows with their square, and its inverse with their cube."""


class Model:
    """The engine and what it has learned.

    Args:
        films: In the order of their ids, with their vectors.
        begin: Ratings that it learns from beside people's opinions; None: none.
        parts: What ratings, texts and popularity weigh.
        index: Where vectors are searched.
    """

    def __init__(
        self,
        films: Sequence[Film],
        vectors: Float[np.ndarray, "n d"],
        begin: Catalogue | None,
        parts: Parts,
        index: Index,
    ) -> None:
        told = vectors[vectors.any(1)]
        mean = told.mean(0) if len(told) else np.zeros(vectors.shape[1], np.float32)
        self.engine = Engine(vectors.shape[1], mean, parts, index)
        self.raw: dict[int, np.ndarray] = {film.id: vector for film, vector in zip(films, vectors, strict=True)}
        if films:
            self.engine.put(films, vectors)
        self.changing = threading.RLock()
        self.pending = 0
        self.describe: Describer | None = None
        likes, dislikes = self._base(begin)
        self.counts = Counts(likes, dislikes) if len(films) <= LARGEST_MODEL else None
        if self.counts is None:
            self.engine.learn(csr_matrix((0, 0)), np.asarray(likes.sum(0), np.float64).ravel())

    def _base(self, begin: Catalogue | None) -> tuple[csr_matrix, csr_matrix]:
        """Likes and dislikes of the set of ratings, a column each row of the engine's table."""
        films = self.engine.table.films
        if begin is None:
            return csr_matrix((0, len(films))), csr_matrix((0, len(films)))
        place = {film.id: column for column, film in enumerate(begin.films)}
        columns = [place.get(film.id, len(place)) for film in films]
        ratings: Ratings = replace(begin.ratings, films=len(place) + 1)  # later films have the last, empty column
        return ratings.likes()[:, columns].tocsr(), ratings.dislikes()[:, columns].tocsr()

    # ------------------------------------------------------------ opinions

    def columns(self, opinions: Iterable[Opinion]) -> set[int]:
        """What somebody holds, as columns of the counts."""
        found = set()
        for each in opinions:
            row = self.engine.table.row.get(each.film)
            if row is not None and each.stars is not None and (each.stars >= LIKED or each.stars <= DISLIKED):
                found.add(2 * row + (each.stars <= DISLIKED))
        return found

    def follow(self, before: set[int], after: set[int]) -> None:
        """Count that somebody holds other opinions than before."""
        held = set(before)
        for column, step in [*((each, -1) for each in before - after), *((each, 1) for each in after - before)]:
            held.discard(column)
            if self.counts is not None:
                self.counts.change(held, column, step)
            elif column % 2 == 0:
                self.engine.popular[column // 2] += step
            if step > 0:
                held.add(column)
        self.pending += before != after

    def refresh(self) -> None:
        """Bring the model up to date with the counts: EASE for films that somebody likes, the head for others."""
        with self.changing:
            films = self.engine.table.films
            if not films or self.counts is None:
                return
            weights = self.counts.model(PENALTY).weights
            signed = weights[:, 0::2] - GAMMA * weights[:, 1::2]
            self.warm = np.flatnonzero(self.counts.warm())
            self.describe = None
            none = np.zeros(self.engine.table.width, np.float32)
            vectors = np.stack([self.raw.get(film.id, none) for film in films])
            if len(self.warm) > 1 and vectors.any():
                self.describe = describer(films, vectors, FIELDS)
                features = self.describe(films, vectors)
                self.head: Head = fit_head(features[self.warm], RIDGE)
                cold = np.setdiff1d(np.arange(len(films)), self.warm)
                if len(cold):
                    signed[:, cold] = signed[:, self.warm] @ self.head.weights(features[cold])
            self.engine.learn(signed, np.diag(self.counts.gram)[0::2].copy())
            self.pending = 0

    # ------------------------------------------------------------ films

    def put(self, film: Film, vector: Float[np.ndarray, "1 d"]) -> None:
        """A film that came or changed: in lists at once, by the head until somebody likes it."""
        self.raw[film.id] = vector[0]
        self.engine.put([film], vector)
        count = len(self.engine.table.films)
        if self.counts is None or count > LARGEST_MODEL:
            self.counts = None
            return
        if count > self.counts.films:
            self.counts.grow(count - self.counts.films)
        dense = self.engine.weights
        if self.describe is None or not isinstance(dense, np.ndarray):
            return
        row = self.engine.table.row[film.id]
        grown = np.pad(dense, ((0, 2 * count - len(dense)), (0, count - dense.shape[1])))
        if row not in self.warm:
            grown[:, row] = grown[:, self.warm] @ self.head.weights(self.describe([film], vector))[:, 0]
        self.engine.learn(grown, self.engine.popular)

    def remove(self, film: int) -> None:
        """A film that is gone."""
        self.engine.remove(film)
        self.raw.pop(film, None)
