"""What the service does, without HTTP: one store, one engine, one model, and every change in all three.

A change is on the disk before anybody sees it; what is in memory follows from the disk, so that a restart is the same.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from projects.movie_recs.data.catalogue import Catalogue
from projects.movie_recs.data.films import Film, people
from projects.movie_recs.embeddings.encoder import Encoder, unit
from projects.movie_recs.embeddings.index import Index, Qdrant, index_for
from projects.movie_recs.embeddings.vectors import KnownVectors, text_vectors
from projects.movie_recs.feedback.store import Store
from projects.movie_recs.preferences.interests import interests
from projects.movie_recs.preferences.questionnaire import halves, informative, newcomer
from projects.movie_recs.preferences.wishes import Wish, wish
from projects.movie_recs.recommend.collaborative import ease
from projects.movie_recs.recommend.engine import Parts, Place, Taste, allowed, taste_of
from projects.movie_recs.recommend.explain import Reason, plot_sentences, reason
from projects.movie_recs.recommend.search import Searched, SearchWeights, searched
from projects.movie_recs.server.gate import Gate
from projects.movie_recs.server.model import LARGEST_MODEL, PENALTY, Model
from projects.movie_recs.server.names import Names
from projects.movie_recs.server.settings import Settings
from shared.errors import UserError
from shared.web.problems import BusyError

QUESTIONS, QUESTION_POOL = 12, 40
SEARCH = SearchWeights(1.0, 0.0, 1.0)
"""What the study chose on sentences taken out of texts."""


@dataclass(frozen=True)
class Listed:
    """A film in a list, with why."""

    place: Place
    why: Reason


class Movies:
    """The service.

    Args:
        settings: What the server was told.
        encoder: Makes vectors of texts and wishes.
        begin: Films and ratings that a new store begins with, and the ratings every start learns from; None: neither.

    Raises:
        UserError: If the store holds another model's vectors.
    """

    def __init__(
        self, settings: Settings, encoder: Encoder, begin: Catalogue | None, parts: Parts | None = None
    ) -> None:
        self.settings, self.encoder, self.begin = settings, encoder, begin
        self.known = KnownVectors(encoder)
        self.store = Store(settings.data / "store.sqlite", encoder.identity)
        self.gate = Gate(settings.at_once, settings.waiting)
        self._ready: tuple[list[Film], Searched] | None = None
        films, vectors = self.store.films()
        self._same_beginning(films)
        if not films and begin is not None:
            films, vectors = list(begin.films), text_vectors([film.text for film in begin.films], self.known).pooled
            self.store.put_films(films, vectors)
        width = encoder.width
        index: Index = Qdrant(width, location=settings.qdrant) if settings.qdrant else index_for(len(films), width)
        self.model = Model(films, vectors.reshape(len(films), width), begin, parts or Parts(), index)
        self.engine, self.changing = self.model.engine, self.model.changing
        self.names = Names(films)
        self.titles = self.names.titles
        for person in sorted({person for person, _ in self.store.everybody()}):
            self.model.follow(set(), self.model.columns(self.store.opinions(person)))
        self.model.refresh()
        self.questions = self._questions()

    def close(self) -> None:
        """End."""
        self.store.close()

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
            held = self.model.columns(self.store.opinions(person))
            self.store.forget(person)
            self.model.follow(held, set())
            self.model.refresh()

    def _changed(self, person: int, change: Callable[[], Any]) -> Any:
        """Do it, and count what changed: one opinion at most."""
        with self.changing:
            before = self.model.columns(self.store.opinions(person))
            done = change()
            self.model.follow(before, self.model.columns(self.store.opinions(person)))
            due = self.model.pending >= self.settings.refresh
        if due:
            threading.Thread(target=self.model.refresh, daemon=True).start()
        return done

    # ------------------------------------------------------------ lists

    def lists(self, person: int | None, k: int, parts: Parts | None = None, text: str = "") -> list[Listed]:
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
            if not asked.like and len(self.model.raw) <= LARGEST_MODEL:
                return self._described(asked.text or text, k, replace(asked, genres=()))
            parts = list(self.engine.table.vectors[self.engine.table.rows(asked.like)])
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
        row = self.engine.table.row.get(place.because) if place.because is not None else None
        if row is None:  # a film that was removed since the list was made is no reason
            return Reason()
        liked = self.engine.table.films[row]
        told = plot_sentences(place.film)
        known = self.known.kept(told)
        near = self.engine.table.vectors[row]
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
        told = _told(title, year, genres, text)
        vector = self._encoded(told["text"])
        with self.changing:
            self._refuse_twin(title, year, None)
            if len(self.engine.table.row) >= self.settings.most_films:
                raise UserError(f"the catalogue holds {self.settings.most_films} films, as many as it may")
            return self._put(Film(id=self.store.next_film(), **told), vector)

    def change(self, film: int, title: str, year: int, genres: Sequence[str], text: str) -> Film:
        """Change a film; its text is encoded again only if something changed.

        Raises:
            UserError: If there is no such film, or another one of this title and year.
        """
        told = _told(title, year, genres, text)
        vector = self._encoded(told["text"])
        with self.changing:
            before = self.film(film)
            self._refuse_twin(title, year, film)
            after = replace(before, **told)
            return before if after.digest == before.digest else self._put(after, vector, before)

    def remove(self, film: int) -> None:
        """Take a film out of the catalogue; what people said of it is kept, and shown to nobody.

        Raises:
            UserError: If there is no such film.
        """
        with self.changing:
            gone = self.film(film)
            self.store.remove_film(film)
            self.model.remove(film)
            self._ready = None
            self.names.drop(gone)
            self.questions = [each for each in self.questions if each != film]

    def _encoded(self, text: str) -> np.ndarray:
        """The vector (1, d) of a film's text. Not while `changing` is held: a search waits for it inside the gate."""
        with self.gate:
            return text_vectors([text], self.known).pooled

    def _put(self, film: Film, vector: np.ndarray, before: Film | None = None) -> Film:
        self.store.put_films([film], vector)
        self._ready = None
        if before is not None:
            self.names.drop(before)
        self.names.add(film)
        self.model.put(film, vector)
        return film

    def _refuse_twin(self, title: str, year: int, but: int | None) -> None:
        twin = self.names.twin(title, year, but)
        if twin is not None:
            raise UserError(f"'{title}' ({year}) is in the catalogue already, as film {twin}")

    def _same_beginning(self, films: Sequence[Film]) -> None:
        """Refuse a set whose ids name other films than those that the store began with.

        Raises:
            UserError: If it is another one.
        """
        wanted = self.begin.name if self.begin is not None else None
        kept = self.store.about("begun with") if films else None
        if kept is None:
            self.store.note("begun with", wanted or "none")
        elif wanted is not None and kept != wanted:
            self.store.close()
            raise UserError(
                f"{self.settings.data} began with {kept}, and ids of {wanted} are other films': "
                f"set MOVIE_RECS_DATASET={kept}, or another MOVIE_RECS_DATA"
            )


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
