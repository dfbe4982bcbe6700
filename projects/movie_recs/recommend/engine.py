"""Lists for people, from everything that is known: opinions, texts, genres, wishes; for a catalogue that changes.

n films · d width · c candidates
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from projects.movie_recs.data.films import Film
from projects.movie_recs.data.ratings import DISLIKED, LIKED
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.index import NOBODY, Index, index_for
from projects.movie_recs.preferences.interests import nearness, taste
from projects.movie_recs.preferences.wishes import Wish
from projects.movie_recs.recommend.diversity import mmr, scaled

ALL_ARE_CANDIDATES = 5_000
"""Films up to which every one is scored; beyond, candidates are fetched from neighbours, index and popularity."""
FETCHED = 200
POOL = 50
MOST_PLACES = 1_000
GROWTH = 1.25


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
        share: Of what speaks for it that this film is.
    """

    film: Film
    score: float
    because: int | None = None
    share: float = 0.0


@dataclass
class Table:
    """The films as arrays, a row each; a removed film's row is dead and not used again.

    Attributes:
        vectors: (rows, d), centred, of length 1; more rows are kept than are used.
        plain: The same before they were centred, in half precision: what MMR compares.
    """

    width: int
    films: list[Film] = field(default_factory=list)
    row: dict[int, int] = field(default_factory=dict)
    vectors: Float[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    plain: Float[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    alive: Bool[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, bool))
    ids: Int[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def put(
        self, films: Sequence[Film], vectors: Float[np.ndarray, "n d"], plain: Float[np.ndarray, "n d"]
    ) -> list[int]:
        """Rows of these films: their own if they are there already, else new ones."""
        fresh = [film for film in films if film.id not in self.row]
        self._room(len(self.films) + len(fresh))
        for film in fresh:
            self.row[film.id] = len(self.films)
            self.films.append(film)
        rows = [self.row[film.id] for film in films]
        for row, film in zip(rows, films, strict=True):
            self.films[row], self.ids[row], self.alive[row] = film, film.id, True
        self.vectors[rows], self.plain[rows] = vectors, plain
        return rows

    def drop(self, film: int) -> bool:
        """Whether it was there."""
        row = self.row.pop(film, None)
        if row is not None:
            self.alive[row] = False
        return row is not None

    def _room(self, wanted: int) -> None:
        if wanted <= len(self.vectors):
            return
        more = max(wanted, int(GROWTH * len(self.vectors))) - len(self.vectors)
        self.vectors = np.concatenate([self.vectors.reshape(-1, self.width), np.zeros((more, self.width), np.float32)])
        room = np.zeros((more, self.width), np.float16)
        self.plain = np.concatenate([self.plain.reshape(-1, self.width), room])
        self.alive = np.concatenate([self.alive, np.zeros(more, bool)])
        self.ids = np.concatenate([self.ids, np.zeros(more, np.int64)])


class Engine:
    """Makes lists; films may be added, changed and removed while it does.

    Args:
        width: Of the films' vectors.
        mean: What all texts have in common; taken away from each vector, and from what is asked.
        index: Where vectors are searched; by default chosen by the number of films.
    """

    def __init__(self, width: int, mean: Float[np.ndarray, " d"], parts: Parts, index: Index | None = None) -> None:
        self.parts, self.mean, self.table = parts, mean, Table(width)
        self.lock = threading.RLock()
        self.index: Index = index if index is not None else index_for(0, width)
        self.weights = csr_matrix((0, 0))
        """From an opinion (2 · row liked, 2 · row + 1 disliked) to a like of each film; dense for few films."""
        self.dense: Float[np.ndarray, "j n"] | None = None
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

    def learn(self, weights: csr_matrix | Float[np.ndarray, "j n"], popular: Float[np.ndarray, " n"]) -> None:
        """Take a model: weights from opinions to films by row, and how many like each film."""
        with self.lock:
            self.popular = np.concatenate([popular, np.zeros(max(0, len(self.table.films) - len(popular)))])
            self._popular = None
            if isinstance(weights, np.ndarray):
                self.dense = weights
            else:
                self.dense, self.weights = None, weights

    # ------------------------------------------------------------ lists

    def recommend(self, who: Taste, k: int = 10, wish: Wish | None = None, parts: Parts | None = None) -> list[Place]:
        """The k films for somebody, best first: none that he has seen, liked or disliked, none twice.

        Fewer than k where there are not so many. Without a like these are popular films, and say so by having no
        `because`; dislikes alone push their neighbours down.
        """
        told, asked = parts or self.parts, wish or Wish()
        with self.lock:
            liked, disliked = self._rows(who.liked), self._rows(who.disliked)
            centres = taste(self.table.vectors[liked], self.table.vectors[disliked], told.gamma)
            candidates = self._candidates(who, liked, centres, asked)
            if not len(candidates):
                return []
            scores = self._scores(candidates, liked, disliked, centres, told)
            head = np.lexsort((self.table.ids[candidates], -scores))[: max(POOL, min(k, MOST_PLACES))]
            pool, best = candidates[head], scores[head]
            near = self.table.plain[pool].astype(np.float32)
            order = mmr(scaled(best), near, min(k, MOST_PLACES), told.diversity)
            return self._places(pool[order], best[order], liked)

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
            found = [(self.table.row[int(i)], float(s)) for i, s in zip(ids[0], scores[0], strict=True) if i != NOBODY]
            kept = [(row, score) for row, score in found if allowed(self.table.films[row], asked)]
            return [Place(self.table.films[row], score) for row, score in kept[:k]]

    # ------------------------------------------------------------ parts of a list

    def _rows(self, films: Iterable[int]) -> Int[np.ndarray, " m"]:
        return np.array([self.table.row[film] for film in films if film in self.table.row], np.int64)

    def _candidates(
        self, who: Taste, liked: Int[np.ndarray, " m"], centres: Float[np.ndarray, "k d"], wish: Wish
    ) -> Int[np.ndarray, " c"]:
        if len(self.table.row) <= ALL_ARE_CANDIDATES:
            rows = np.flatnonzero(self.table.alive)
        else:
            rows = self._fetched(liked, centres)
        seen = self._rows(who.seen)
        rows = rows[~np.isin(rows, seen)]
        if wish.genres or wish.barred or wish.years != Wish().years:
            rows = np.array([row for row in rows if allowed(self.table.films[int(row)], wish)], np.int64)
        return rows

    def _fetched(self, liked: Int[np.ndarray, " m"], centres: Float[np.ndarray, "k d"]) -> Int[np.ndarray, " c"]:
        """Rows worth scoring: the popular, the neighbours of what is liked, and the nearest to each interest."""
        if self._popular is None:
            self._popular = np.argsort(-self.popular, kind="stable")[:FETCHED]
        found = [self._popular]
        if len(liked) and self.weights.shape[0]:
            found.append(self.weights[2 * liked].indices)
        if len(centres):
            ids, _ = self.index.search(centres.astype(np.float32), FETCHED // len(centres))
            found.append(self._rows(int(i) for i in ids.ravel()))
        rows = np.unique(np.concatenate(found)).astype(np.int64)
        return rows[self.table.alive[rows]]

    def _scores(
        self,
        rows: Int[np.ndarray, " c"],
        liked: Int[np.ndarray, " m"],
        disliked: Int[np.ndarray, " l"],
        centres: Float[np.ndarray, "k d"],
        parts: Parts,
    ) -> Float[np.ndarray, " c"]:
        total = parts.popular * _even(np.log1p(self.popular[rows]))
        if len(liked) or len(disliked):
            if parts.ratings:
                total = total + parts.ratings * _even(self._by_ratings(rows, liked, disliked))
            if parts.text:
                vectors = self.table.vectors
                own = nearness(centres, vectors[rows]) if len(centres) else -nearness(vectors[disliked], vectors[rows])
                total = total + parts.text * _even(own)
        elif not parts.popular:
            total = _even(self.popular[rows])
        return np.asarray(total)

    def _by_ratings(
        self, rows: Int[np.ndarray, " c"], liked: Int[np.ndarray, " m"], disliked: Int[np.ndarray, " l"]
    ) -> Float[np.ndarray, " c"]:
        """What likes and dislikes say by the model's weights; films that it does not know yet get 0."""
        found = np.zeros(len(self.table.films))
        known = (self.weights.shape[0] if self.dense is None else len(self.dense)) // 2
        held = np.concatenate([2 * liked, 2 * disliked + 1])
        held = held[held < 2 * known]
        if len(held):
            told = self.weights[held].sum(0) if self.dense is None else self.dense[held].sum(0)
            flat = np.asarray(told, np.float64).ravel()
            found[: len(flat)] = flat
        return found[rows]

    def _places(
        self, rows: Int[np.ndarray, " c"], scores: Float[np.ndarray, " c"], liked: Int[np.ndarray, " m"]
    ) -> list[Place]:
        films = [self.table.films[row] for row in rows]
        if not len(liked):
            return [Place(film, float(score)) for film, score in zip(films, scores, strict=True)]
        speaks = self.contributions(rows, liked)
        found = []
        for film, score, own in zip(films, scores, speaks.T, strict=True):
            best, total = int(np.argmax(own)), float(own.sum())
            because = (self.table.films[int(liked[best])].id, float(own[best]) / total) if total > 0 else (None, 0.0)
            found.append(Place(film, float(score), *because))
        return found

    def contributions(self, rows: Int[np.ndarray, " c"], liked: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m c"]:
        """How much each liked film speaks for each film: its weight, or where none does, its nearness; not < 0."""
        told = np.zeros((len(liked), len(rows)))
        known, shape = 2 * liked, self.weights.shape if self.dense is None else self.dense.shape
        old, new = known < shape[0], rows < shape[1]
        if self.dense is not None:
            told[np.ix_(old, new)] = self.dense[np.ix_(known[old], rows[new])]
        elif old.any() and new.any():
            told[np.ix_(old, new)] = self.weights[known[old]][:, rows[new]].toarray()
        told = np.maximum(told, 0)
        near = np.maximum(self.table.vectors[liked] @ self.table.vectors[rows].T, 0)
        return np.where(told.sum(0, keepdims=True) > 0, told, near)


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
