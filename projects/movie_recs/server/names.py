"""How films are called: which one a title names, and which one has it already."""

from collections import defaultdict
from collections.abc import Iterable

from projects.movie_recs.data.films import Film
from projects.movie_recs.data.titles import title_key, title_keys


class Names:
    """Titles of a catalogue that changes. Of several films of one title it names the one with the lowest id, in
    whatever order they came, so that a restart changes nothing.

    Attributes:
        titles: That film's id by each key of its title.
    """

    def __init__(self, films: Iterable[Film]) -> None:
        self.titles: dict[str, int] = {}
        self._named: dict[str, set[int]] = defaultdict(set)
        self._twins: dict[tuple[str, int], set[int]] = defaultdict(set)
        for film in films:
            self.add(film)

    def add(self, film: Film) -> None:
        """A film that came."""
        self._twins[_twin(film.title, film.year)].add(film.id)
        for key in title_keys(film.title):
            self._named[key].add(film.id)
            self.titles[key] = min(self._named[key])

    def drop(self, film: Film) -> None:
        """A film that is gone, or is called otherwise from now on: another one of its title takes its place."""
        self._twins[_twin(film.title, film.year)].discard(film.id)
        for key in title_keys(film.title):
            self._named[key].discard(film.id)
            self.titles.pop(key, None)
            if self._named[key]:
                self.titles[key] = min(self._named[key])

    def twin(self, title: str, year: int, but: int | None = None) -> int | None:
        """Another film than `but` of this title and year; None if there is none."""
        found = self._twins.get(_twin(title, year), set()) - {but}
        return min(found, default=None)


def _twin(title: str, year: int) -> tuple[str, int]:
    """By what is compared of a title; one of signs alone has nothing but itself."""
    return title_key(title) or title.strip(), year
