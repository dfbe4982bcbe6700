"""Films with their texts, and ratings of them: joined by title and year, with a report of what was joined."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from projects.movie_recs.data.films import Film, people
from projects.movie_recs.data.ratings import Ratings
from projects.movie_recs.data.sources import Rated, Text, introductions, plots, rated
from projects.movie_recs.data.titles import YEARS_APART, title_key, title_keys

Outcome = Literal["joined", "mispaired", "another year", "several films", "no ratings", "text taken", "no year"]


@dataclass(frozen=True)
class Catalogue:
    """Films and the ratings of them; film n of `films` is column n of `ratings`.

    Attributes:
        joined: How many texts of each kind had which outcome.
        name: Which set of ratings it is.
    """

    films: tuple[Film, ...]
    ratings: Ratings
    name: str
    joined: dict[tuple[str, Outcome], int] = field(default_factory=dict)

    @property
    def with_text(self) -> list[int]:
        """Columns of the films that have a text."""
        return [column for column, film in enumerate(self.films) if film.text]

    def restricted(self, columns: Sequence[int]) -> "Catalogue":
        """These films alone, and the ratings of them."""
        films = tuple(self.films[column] for column in columns)
        return Catalogue(films, self.ratings.of_films(columns), self.name, self.joined)

    @property
    def digest(self) -> str:
        """Digest of films and ratings: what a run is told that it learned from."""
        told = hashlib.sha256("".join(film.digest for film in self.films).encode())
        for column in (self.ratings.user, self.ratings.film, self.ratings.stars, self.ratings.time):
            told.update(column.tobytes())
        return told.hexdigest()


def load(name: Literal["dslabs", "ml-100k"] = "dslabs") -> Catalogue:
    """Films, texts and ratings of a set.

    Raises:
        UserError: If the ratings are not here.
    """
    source = rated(name)
    texts, joined = join(source, [*introductions(), *plots()])
    films = tuple(
        Film(
            id=source.ids[column],
            title=title,
            year=source.years[column],
            genres=source.genres[column],
            people=people(texts[column].text, texts[column].kind) if column in texts else (),
            text=texts[column].text if column in texts else "",
            kind=texts[column].kind if column in texts else "",
        )
        for column, title in enumerate(source.titles)
    )
    return Catalogue(films, source.ratings, name, joined)


def join(source: Rated, texts: Iterable[Text]) -> tuple[dict[int, Text], dict[tuple[str, Outcome], int]]:
    """Which text belongs to which column, and how many texts had which outcome.

    A text goes to the one film that has its title and a year that fits, within one; if several fit it goes to none. A
    remake's text thus never goes to the first film. A film takes the first text that comes.
    """
    by_key: dict[str, list[int]] = defaultdict(list)
    for column, title in enumerate(source.titles):
        for key in title_keys(title):
            by_key[key].append(column)
    taken: dict[int, Text] = {}
    outcomes: Counter[tuple[str, Outcome]] = Counter()
    for text in texts:
        outcome, place = _placed(text, by_key, source.years)
        if place is not None and place in taken:
            outcome = "text taken"
        elif place is not None:
            taken[place] = text
        outcomes[text.kind, outcome] += 1
    return taken, dict(outcomes)


def _placed(text: Text, by_key: dict[str, list[int]], years: Sequence[int]) -> tuple[Outcome, int | None]:
    if text.mispaired:
        return "mispaired", None
    named = sorted(set(by_key.get(title_key(text.title), [])))
    if not named:
        return "no ratings", None
    if text.years == (0, 0):
        return "no year", None
    first, last = text.years
    fitting = [column for column in named if first - YEARS_APART <= years[column] <= last + YEARS_APART]
    if len(fitting) == 1:
        return "joined", fitting[0]
    return ("several films" if fitting else "another year"), None
