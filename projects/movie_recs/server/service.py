"""What the service does, without HTTP: one store, one engine, one model, and every change in all three.

A change is on the disk before anybody sees it; what is in memory follows from the disk, so that a restart is the same.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from projects.movie_recs.data import dslabs
from projects.movie_recs.data.catalogue import Catalogue, load
from projects.movie_recs.data.films import Film, people
from projects.movie_recs.data.ratings import DISLIKED, LIKED, Ratings
from projects.movie_recs.data.titles import title_key, title_keys
from projects.movie_recs.embeddings.encoder import Encoder, unit
from projects.movie_recs.embeddings.index import Index, Qdrant
from projects.movie_recs.embeddings.vectors import KnownVectors, text_vectors
from projects.movie_recs.feedback.online import Counts
from projects.movie_recs.feedback.store import Store
from projects.movie_recs.preferences.interests import interests
from projects.movie_recs.preferences.questionnaire import halves, informative, newcomer
from projects.movie_recs.preferences.wishes import Wish, wish
from projects.movie_recs.recommend.cold import Describer, Head, describer, fit_head
from projects.movie_recs.recommend.collaborative import ease
from projects.movie_recs.recommend.engine import Engine, Parts, Place, Taste, allowed, taste_of
from projects.movie_recs.recommend.explain import Reason, plot_sentences, reason
from projects.movie_recs.recommend.search import Searched, SearchWeights, searched
from projects.movie_recs.server.settings import Settings
from shared.errors import UserError
from shared.web.problems import BusyError

PENALTY, GAMMA, RIDGE = 100.0, 0.5, 5.0
FIELDS = {"text": 1.0, "genres": 1.0, "people": 1.0, "years": 1.0}
QUESTIONS, QUESTION_POOL = 12, 40
SEARCH = SearchWeights(1.0, 0.0, 1.0)
"""What the study chose on sentences taken out of texts."""
LARGEST_MODEL = 5_000
"""Films up to which EASE is kept as a whole: its matrix grows with their square."""


class Gate:
    """Lets so many compute at once and so many wait; the rest is told to come back."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._inside, self._most = 0, at_once + waiting

    def __enter__(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise BusyError("too many lists are being made", 1.0)
            self._inside += 1
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()
        with self._lock:
            self._inside -= 1


@dataclass(frozen=True)
class Listed:
    """A film in a list, with why."""

    place: Place
    why: Reason


class Movies:
    """The service.

    Args:
        settings: What the server was told.
        encoder: Of texts and wishes.
        begin: Films and ratings that a new store begins with, and the ratings every start learns from; None: neither.

    Raises:
        UserError: If the store holds another model's vectors.
    """

    def __init__(self, settings: Settings, encoder: Encoder, begin: Catalogue | None) -> None:
        self.settings, self.encoder, self.begin = settings, encoder, begin
        self.known = KnownVectors(encoder)
        self.store = Store(settings.data / "store.sqlite", encoder.identity)
        self.gate = Gate(settings.at_once, settings.waiting)
        self.changing = threading.RLock()
        self._pending = 0
        self._ready: tuple[list[Film], Searched] | None = None
        films, vectors = self.store.films()
        if not films and begin is not None:
            films, vectors = list(begin.films), text_vectors([film.text for film in begin.films], self.known).pooled
            self.store.put_films(films, vectors)
        self._start(films, vectors.reshape(len(films), -1) if films else np.zeros((0, encoder.width), np.float32))

    def close(self) -> None:
        """End."""
        self.store.close()

    # ------------------------------------------------------------ from the disk to memory

    def _start(self, films: list[Film], vectors: np.ndarray) -> None:
        told = vectors[vectors.any(1)]
        mean = told.mean(0) if len(told) else np.zeros(self.encoder.width, np.float32)
        index: Index | None = (
            Qdrant(self.encoder.width, location=self.settings.qdrant) if self.settings.qdrant else None
        )
        self.engine = Engine(self.encoder.width, mean, Parts(), index)
        self.raw: dict[int, np.ndarray] = {film.id: vector for film, vector in zip(films, vectors, strict=True)}
        self.titles = {key: film.id for film in reversed(films) for key in title_keys(film.title)}
        if films:
            self.engine.put(films, vectors)
        likes, dislikes = self._base()
        self.counts = Counts(likes, dislikes)
        for person in sorted({person for person, _ in self.store.everybody()}):
            self._count(person, 1)
        self.refresh()
        self.questions = self._questions()

    def _base(self) -> tuple[csr_matrix, csr_matrix]:
        """Likes and dislikes of the set of ratings, a column each row of the engine's table."""
        count = len(self.engine.table.films)
        if self.begin is None or count > LARGEST_MODEL:
            return csr_matrix((0, count)), csr_matrix((0, count))
        place = {film.id: column for column, film in enumerate(self.begin.films)}
        rows = [place.get(film.id, -1) for film in self.engine.table.films]
        ratings: Ratings = self.begin.ratings
        extended = replace(ratings, films=len(place) + 1)  # films that came later have the last, empty column
        columns = [column if column >= 0 else len(place) for column in rows]
        return extended.likes()[:, columns].tocsr(), extended.dislikes()[:, columns].tocsr()

    def _columns(self, person: int) -> set[int]:
        """What a person holds, as columns of the counts."""
        found = set()
        for each in self.store.opinions(person):
            row = self.engine.table.row.get(each.film)
            if row is not None and each.stars is not None and (each.stars >= LIKED or each.stars <= DISLIKED):
                found.add(2 * row + (each.stars <= DISLIKED))
        return found

    def _count(self, person: int, step: int) -> None:
        held: set[int] = set()
        for column in sorted(self._columns(person)):
            self.counts.change(held, column, step)
            held.add(column)

    def refresh(self) -> None:
        """Bring the model up to date with the counts: EASE for films that somebody likes, the head for others."""
        with self.changing:
            films = self.engine.table.films
            if not films or len(films) > LARGEST_MODEL:
                return
            weights = self.counts.model(PENALTY).weights
            signed = weights[:, 0::2] - GAMMA * weights[:, 1::2]
            self.warm = np.flatnonzero(self.counts.warm())
            vectors = np.stack([self.raw.get(film.id, np.zeros(self.encoder.width, np.float32)) for film in films])
            self.describe: Describer | None = None
            if len(self.warm) > 1 and vectors.any():
                self.describe = describer(films, vectors, FIELDS)
                features = self.describe(films, vectors)
                self.head: Head = fit_head(features[self.warm], RIDGE)
                cold = np.setdiff1d(np.arange(len(films)), self.warm)
                if len(cold):
                    signed[:, cold] = signed[:, self.warm] @ self.head.weights(features[cold])
            self.engine.learn(signed, np.diag(self.counts.gram)[0::2].copy())
            self._pending = 0

    def _questions(self) -> list[int]:
        """Films of the questionnaire, by what their answers tell; the first ones where no ratings are known.

        They are found once, and kept with the store.
        """
        there = self.engine.table.row
        if self.begin is None or not len(self.begin.ratings):
            return list(there)[:QUESTIONS]
        kept = self.store.about("questions")
        if kept is None:
            ratings = self.begin.ratings
            who = newcomer(ease(ratings.likes(), PENALTY), ratings.likes())
            rows = informative(halves(ratings, np.arange(ratings.users), 0), who, QUESTIONS, QUESTION_POOL)
            kept = json.dumps([self.begin.films[row].id for row in rows])
            self.store.note("questions", kept)
        return [film for film in json.loads(kept) if film in there]

    # ------------------------------------------------------------ people

    def begin_profile(self) -> str:
        """A new person's token.

        Raises:
            BusyError: If the store holds as many profiles as it may.
        """
        if self.store.people() >= self.settings.most_people:
            raise BusyError("there are as many profiles as this server keeps", 3600)
        return self.store.new_person()

    def taste(self, person: int | None) -> Taste:
        """What somebody has said; nobody has said nothing."""
        if person is None:
            return Taste()
        return taste_of((each.film, each.stars) for each in self.store.opinions(person))

    def rate(self, person: int, film: int, stars: float | None) -> bool:
        """Put stars; see `Store.rate`.

        Raises:
            UserError: If the film is unknown, or the stars are no stars.
        """
        self.film(film)
        return self._changed(person, lambda: self.store.rate(person, film, stars))

    def unrate(self, person: int, film: int) -> bool:
        """Take back what was said."""
        return self._changed(person, lambda: self.store.unrate(person, film))

    def undo(self, person: int) -> int | None:
        """Take the last thing back."""
        return self._changed(person, lambda: self.store.undo(person))

    def forget(self, person: int) -> None:
        """Delete a profile, and what the model has learned from it."""
        with self.changing:
            self._count(person, -1)
            self.store.forget(person)
            self.refresh()

    def _changed(self, person: int, change: Callable[[], Any]) -> Any:
        """Do it, and count what changed: one opinion at most."""
        with self.changing:
            before = self._columns(person)
            done = change()
            after = self._columns(person)
            for column in before - after:
                self.counts.change(before - {column}, column, -1)
            for column in after - before:
                self.counts.change(after - {column}, column, 1)
            self._pending += before != after
            due = self._pending >= self.settings.refresh
        if due:
            threading.Thread(target=self.refresh, daemon=True).start()
        return done

    # ------------------------------------------------------------ lists

    def lists(self, person: int | None, k: int, parts: Parts, text: str = "") -> list[Listed]:
        """Films for somebody, with reasons; `text` may name genres, years, films, and what it must not be."""
        with self.gate:
            who = self.taste(person)
            asked = wish(text, self.titles) if text else None
            if asked and asked.like:
                who = replace(who, liked=(*who.liked, *asked.like), seen=who.seen | set(asked.like))
            return [Listed(place, self.why(place)) for place in self.engine.recommend(who, k, asked, parts)]

    def search(self, text: str, k: int) -> list[Place]:
        """Films by somebody's own words; where he names films, near to these and to the rest of what he says."""
        asked = wish(text, self.titles)
        with self.gate:
            if not asked.like and len(self.raw) <= LARGEST_MODEL:
                return self._described(asked.text or text, k, replace(asked, genres=()))
            parts = [self.engine.table.vectors[self.engine.table.row[each]] for each in asked.like if each in self.raw]
            if asked.text or not parts:
                query = self.encoder.encode([asked.text or text], "query")
                parts.append(self.engine.centred(query)[0])
            if not asked.like:
                asked = replace(asked, genres=())
            found = self.engine.search(unit(np.sum(parts, axis=0)), k + len(asked.like), asked)
            return [place for place in found if place.film.id not in asked.like][:k]

    def _described(self, text: str, k: int, asked: Wish) -> list[Place]:
        """Films by a description: the whole text, and the sentence that fits best. In a description a word like "war"
        is part of the story, so that it is no wish for a genre.
        """
        query = self.encoder.encode([text], "query")[0]
        with self.changing:
            if self._ready is None:
                films = [self.film(film) for film in self.engine.table.row]
                vectors = text_vectors([film.text for film in films], self.known)
                self._ready = films, searched(vectors, SEARCH)
            films, ready = self._ready
        if not films:
            return []
        scores = ready.score(query)
        order = [n for n in np.argsort(-scores, kind="stable") if allowed(films[n], asked)]
        return [Place(films[n], float(scores[n])) for n in order[:k]]

    def near(self, film: int, k: int) -> list[Place]:
        """Films with a text near to that of this one."""
        self.film(film)
        with self.gate:
            return self.engine.near(film, k)

    def why(self, place: Place) -> Reason:
        """Why a film is in a list."""
        if place.because is None:
            return Reason()
        liked = self.film(place.because)
        told = plot_sentences(place.film)
        known = self.known.kept(told)
        near = self.engine.table.vectors[self.engine.table.row[liked.id]]
        nearness = self.engine.centred(known) @ near if known is not None else np.zeros(0)
        return reason(place.film, liked, place.share, told, nearness)

    def interests(self, person: int) -> list[list[Film]]:
        """The films that somebody likes, by the interest that each belongs to."""
        liked = [film for film in self.taste(person).liked if film in self.engine.table.row]
        if not liked:
            return []
        vectors = self.engine.table.vectors[[self.engine.table.row[film] for film in liked]]
        centres = interests(vectors)
        if not len(centres):
            return [[self.film(film) for film in liked]]
        own = np.argmax(vectors @ centres.T, axis=1)
        groups = [[self.film(film) for film, c in zip(liked, own, strict=True) if c == n] for n in range(len(centres))]
        return [group for group in groups if group]

    # ------------------------------------------------------------ the catalogue

    def film(self, film: int) -> Film:
        """A film by its id.

        Raises:
            UserError: If there is none.
        """
        row = self.engine.table.row.get(film)
        if row is None:
            raise UserError(f"there is no film {film}")
        return self.engine.table.films[row]

    def add(self, title: str, year: int, genres: Sequence[str], text: str) -> Film:
        """Put a new film into the catalogue; it is in lists at once.

        Raises:
            UserError: If a film of this title and year is there, or the catalogue is full.
        """
        with self.changing:
            self._refuse_twin(title, year, None)
            if len(self.engine.table.row) >= self.settings.most_films:
                raise UserError(f"the catalogue holds {self.settings.most_films} films, as many as it may")
            return self._put(Film(id=self.store.next_film(), **_told(title, year, genres, text)))

    def change(self, film: int, title: str, year: int, genres: Sequence[str], text: str) -> Film:
        """Change a film; its text is encoded again only if something changed.

        Raises:
            UserError: If there is no such film, or another one of this title and year.
        """
        with self.changing:
            before = self.film(film)
            self._refuse_twin(title, year, film)
            after = replace(before, **_told(title, year, genres, text))
            return before if after.digest == before.digest else self._put(after)

    def remove(self, film: int) -> None:
        """Take a film out of the catalogue; what people said of it is kept, and shown to nobody.

        Raises:
            UserError: If there is no such film.
        """
        with self.changing:
            gone = self.film(film)
            self.store.remove_film(film)
            self.engine.remove(film)
            self._ready = None
            self.raw.pop(film, None)
            self.titles = {key: each for key, each in self.titles.items() if each != gone.id}
            self.questions = [each for each in self.questions if each != film]

    def _put(self, film: Film) -> Film:
        with self.gate:
            vector = text_vectors([film.text], self.known).pooled
        self.store.put_films([film], vector)
        self._ready = None
        self.titles = {key: each for key, each in self.titles.items() if each != film.id}
        self.titles |= dict.fromkeys(title_keys(film.title), film.id)
        self.raw[film.id] = vector[0]
        self.engine.put([film], vector)
        if (missing := len(self.engine.table.films) - self.counts.films) > 0:
            self.counts.grow(missing)
        self._extend(film, vector)
        return film

    def _extend(self, film: Film, vector: np.ndarray) -> None:
        """The head's weights for a film that came or changed, until the next refresh."""
        dense = self.engine.weights
        if not isinstance(dense, np.ndarray) or self.describe is None:
            return
        row, count = self.engine.table.row[film.id], len(self.engine.table.films)
        grown = np.pad(dense, ((0, 2 * count - len(dense)), (0, count - dense.shape[1])))
        if row not in self.warm:
            own = self.head.weights(self.describe([film], vector))[:, 0]
            grown[:, row] = grown[:, self.warm] @ own
        self.engine.learn(grown, self.engine.popular)

    def _refuse_twin(self, title: str, year: int, but: int | None) -> None:
        for film in self.engine.table.row:
            if film != but:
                other = self.film(film)
                if other.year == year and title_key(other.title) == title_key(title):
                    raise UserError(f"'{title}' ({year}) is in the catalogue already, as film {film}")


def _told(title: str, year: int, genres: Sequence[str], text: str) -> dict[str, Any]:
    own = tuple(sorted({genre.strip() for genre in genres if genre.strip()}))
    return {
        "title": title.strip(),
        "year": year,
        "genres": own,
        "text": text.strip(),
        "kind": "plot" if text.strip() else "",
        "people": people(text, "plot"),
    }


def load_movies(settings: Settings) -> Movies:
    """The service as the settings say.

    Raises:
        UserError: If films, ratings or model are not here.
    """
    from projects.movie_recs.embeddings.encoder import load as load_encoder

    begin = None
    if settings.dataset != "none":
        every = load(dslabs.fetched_or_smaller() if settings.dataset == "dslabs" else "ml-100k")
        begin = every.restricted(every.with_text)
    return Movies(settings, load_encoder(settings.model), begin)
