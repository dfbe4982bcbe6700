"""Lists for people, from everything that is known: opinions, texts, genres, wishes; for a catalogue that changes.

n films · d width · c candidates
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from projects.movie_recs.data.films import Film
from projects.movie_recs.data.ratings import DISLIKED, LIKED
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.index import Index, index_for
from projects.movie_recs.preferences.interests import nearness, taste
from projects.movie_recs.preferences.wishes import Wish
from projects.movie_recs.recommend.diversity import mmr, scaled
from projects.movie_recs.recommend.table import Table
from projects.movie_recs.recommend.weights import Weights, neighbours_of, weights_of

ALL_ARE_CANDIDATES = 5_000
"""Films up to which every one is scored; beyond, candidates are fetched from neighbours, index and popularity."""
FETCHED = 200
POOL = 50
MOST_PLACES = 1_000


@dataclass(frozen=True)
class Parts:
    """Which parts decide a list, and how much; 0 switches a part off.

    Attributes:
        ratings: What people with like tastes liked.
        text: Nearness to the interests in what was liked.
        popular: What most people like.
        gamma: Weight of a dislike in the interests; in the ratings it is the model's.
        diversity: λ of MMR.
    """

    ratings: float = 1.0
    text: float = 0.2
    popular: float = 0.1
    gamma: float = 0.25
    diversity: float = 0.8


@dataclass(frozen=True)
class Taste:
    """What somebody has said: ids of films by what he thinks of them. `seen` holds all of these, and more."""

    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()
    seen: frozenset[int] = frozenset()


def taste_of(opinions: Iterable[tuple[int, float | None]]) -> Taste:
    """From (film, stars) pairs; None is "seen, without stars"."""
    told = list(opinions)
    liked = tuple(film for film, stars in told if stars is not None and stars >= LIKED)
    disliked = tuple(film for film, stars in told if stars is not None and stars <= DISLIKED)
    return Taste(liked, disliked, frozenset(film for film, _ in told))


@dataclass(frozen=True)
class Place:
    """A film in a list.

    Attributes:
        because: Id of the liked film that speaks for it most; None if it is there for being popular.
        share: Part of what speaks for it that this film is.
    """

    film: Film
    score: float
    because: int | None = None
    share: float = 0.0


class Engine:
    """Makes lists; films may be added, changed and removed while it does.

    Args:
        width: Numbers of a film's vector.
        mean: What all texts have in common; taken away from each vector, and from what is asked.
        index: Where vectors are searched; by default chosen by the number of films.
    """

    def __init__(self, width: int, mean: Float[np.ndarray, " d"], parts: Parts, index: Index | None = None) -> None:
        self.parts, self.mean, self.table = parts, mean, Table(width)
        self.lock = threading.RLock()
        self.index: Index = index if index is not None else index_for(0, width)
        self.weights: Weights = csr_matrix((0, 0))
        """From an opinion (2 · row liked, 2 · row + 1 disliked) to a like of each film; an array for few films."""
        self.popular: Float[np.ndarray, " n"] = np.zeros(0)
        self._popular: Int[np.ndarray, " f"] | None = None

    # ------------------------------------------------------------ films

    def put(self, films: Sequence[Film], vectors: Float[np.ndarray, "n d"]) -> None:
        """Add films or change them: the next list knows them."""
        ready = self.centred(vectors)
        with self.lock:
            self.table.put(films, ready, unit(vectors))
            self.index.add([film.id for film in films], ready)
            missing = len(self.table.films) - len(self.popular)
            if missing > 0:
                self.popular = np.concatenate([self.popular, np.zeros(missing)])

    def remove(self, film: int) -> bool:
        """Take a film out of every list; whether it was there."""
        with self.lock:
            self.index.remove([film])
            return self.table.drop(film)

    def centred(self, vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Vectors as the table keeps them; that of a film without text stays 0."""
        return unit(np.where(vectors.any(1, keepdims=True), vectors - self.mean, 0)).astype(np.float32)

    def learn(self, weights: Weights, popular: Float[np.ndarray, " n"]) -> None:
        """Take a model: weights from opinions to films by row, and how many like each film."""
        with self.lock:
            self.popular = np.concatenate([popular, np.zeros(max(0, len(self.table.films) - len(popular)))])
            self._popular, self.weights = None, weights
            if isinstance(weights, csr_matrix):
                weights.sum_duplicates()

    # ------------------------------------------------------------ lists

    def recommend(self, who: Taste, k: int = 10, wish: Wish | None = None, parts: Parts | None = None) -> list[Place]:
        """The k films for somebody, best first: none that he has seen, liked or disliked, none twice.

        Fewer than k where there are not so many. Without a like these are popular films, and say so by having no
        `because`; dislikes alone push their neighbours down.
        """
        told, asked = parts or self.parts, wish or Wish()
        with self.lock:
            liked, disliked = self.table.rows(who.liked), self.table.rows(who.disliked)
            centres = taste(self.table.vectors[liked], self.table.vectors[disliked], told.gamma)
            candidates = self._candidates(who, liked, centres, asked)
            if not len(candidates):
                return []
            speaks = weights_of(self.weights, np.concatenate([2 * liked, 2 * disliked + 1]), candidates)
            scores = self._scores(candidates, speaks, disliked, centres, told)
            head = np.lexsort((self.table.ids[candidates], -scores))[: max(POOL, min(k, MOST_PLACES))]
            pool, best = candidates[head], scores[head]
            near = self.table.plain[pool].astype(np.float32)
            order = mmr(scaled(best), near, min(k, MOST_PLACES), told.diversity)
            return self._places(pool[order], best[order], liked, speaks[: len(liked), head[order]])

    def near(self, film: int, k: int = 10) -> list[Place]:
        """Films whose texts are nearest to this one's."""
        with self.lock:
            row = self.table.row.get(film)
            if row is None:
                return []
            return [place for place in self.search(self.table.vectors[row], k + 1) if place.film.id != film][:k]

    def search(self, query: Float[np.ndarray, " d"], k: int = 10, wish: Wish | None = None) -> list[Place]:
        """Films whose texts are nearest to a centred vector, within the genres and years of a wish."""
        asked = wish or Wish()
        with self.lock:
            ids, scores = self.index.search(query[None].astype(np.float32), min(len(self.table.row), k + FETCHED))
            told = zip(ids[0].tolist(), scores[0].tolist(), strict=True)
            found = [(self.table.row[film], score) for film, score in told if film in self.table.row]
            kept = [(row, score) for row, score in found if allowed(self.table.films[row], asked)]
            return [Place(self.table.films[row], score) for row, score in kept[:k]]

    # ------------------------------------------------------------ parts of a list

    def _candidates(
        self, who: Taste, liked: Int[np.ndarray, " m"], centres: Float[np.ndarray, "k d"], wish: Wish
    ) -> Int[np.ndarray, " c"]:
        if len(self.table.row) <= ALL_ARE_CANDIDATES:
            rows = np.flatnonzero(self.table.alive)
        else:
            rows = self._fetched(liked, centres)
        seen = self.table.rows(who.seen)
        rows = rows[~np.isin(rows, seen)]
        if wish.genres or wish.barred or wish.years != Wish().years:
            rows = np.array([row for row in rows if allowed(self.table.films[int(row)], wish)], np.int64)
        return rows

    def _fetched(self, liked: Int[np.ndarray, " m"], centres: Float[np.ndarray, "k d"]) -> Int[np.ndarray, " c"]:
        """Rows worth scoring: the popular, the neighbours of what is liked, and the nearest to each interest."""
        if self._popular is None:
            self._popular = np.argsort(-self.popular, kind="stable")[:FETCHED]
        found = [self._popular]
        found.append(neighbours_of(self.weights, 2 * liked))
        if len(centres):
            ids, _ = self.index.search(centres.astype(np.float32), FETCHED // len(centres))
            found.append(self.table.rows(int(i) for i in ids.ravel()))
        rows = np.unique(np.concatenate(found)).astype(np.int64)
        return rows[self.table.alive[rows]]

    def _scores(
        self,
        rows: Int[np.ndarray, " c"],
        speaks: Float[np.ndarray, "o c"],
        disliked: Int[np.ndarray, " l"],
        centres: Float[np.ndarray, "k d"],
        parts: Parts,
    ) -> Float[np.ndarray, " c"]:
        total = parts.popular * _even(np.log1p(self.popular[rows]))
        if len(speaks):
            if parts.ratings:
                total = total + parts.ratings * _even(speaks.sum(0))
            if parts.text:
                vectors = self.table.vectors
                own = nearness(centres, vectors[rows]) if len(centres) else -nearness(vectors[disliked], vectors[rows])
                total = total + parts.text * _even(own)
        elif not parts.popular:
            total = _even(self.popular[rows])
        return np.asarray(total)

    def _places(
        self,
        rows: Int[np.ndarray, " k"],
        scores: Float[np.ndarray, " k"],
        liked: Int[np.ndarray, " m"],
        speaks: Float[np.ndarray, "m k"],
    ) -> list[Place]:
        """Each film with the liked one that speaks for it: by its weight, or where none does, by its nearness."""
        films = [self.table.films[row] for row in rows]
        if not len(liked):
            return [Place(film, float(score)) for film, score in zip(films, scores, strict=True)]
        near = self.table.vectors[liked] @ self.table.vectors[rows].T
        told = np.maximum(speaks, 0)
        told = np.maximum(np.where(told.sum(0) > 0, told, near), 0)
        found = []
        for film, score, own in zip(films, scores, told.T, strict=True):
            best, total = int(np.argmax(own)), float(own.sum())
            because = (self.table.films[int(liked[best])].id, float(own[best]) / total) if total > 0 else (None, 0.0)
            found.append(Place(film, float(score), *because))
        return found


def allowed(film: Film, wish: Wish) -> bool:
    """Whether a film is within the genres and years of a wish; one of unknown year is."""
    own = set(film.genres)
    wanted = not wish.genres or bool(own & set(wish.genres))
    return wanted and not own & set(wish.barred) and (film.year == 0 or wish.years[0] <= film.year <= wish.years[1])


def _even(scores: Float[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
    """Mean 0 and deviation 1 over the candidates; equal scores become 0."""
    spread = float(scores.std())
    evened: Float[np.ndarray, " c"] = (scores - scores.mean()) / spread if spread > 1e-12 else np.zeros(len(scores))
    return evened
