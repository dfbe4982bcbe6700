"""What somebody writes in his own words, Spanish or English: films it should be like, what it must not be, years.

wish("algo como Alien pero divertido, nada de terror", titles)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from projects.movie_recs.data.titles import title_key
from shared.words import words

LONGEST = 1_000
"""Characters of a wish that are read."""

GENRES: dict[str, tuple[str, ...]] = {
    "Action": ("action", "acción", "accion"),
    "Adventure": ("adventure", "adventures", "aventura", "aventuras"),
    "Animation": ("animation", "animated", "cartoon", "cartoons", "animación", "animacion", "dibujos"),
    "Children": ("children", "kids", "family", "niños", "infantil", "familiar"),
    "Comedy": (
        "comedy",
        "comedies",
        "funny",
        "humour",
        "humor",
        "comedia",
        "comedias",
        "divertida",
        "divertido",
        "graciosa",
        "gracioso",
        "reír",
        "risa",
    ),
    "Crime": ("crime", "gangster", "gangsters", "mafia", "crimen", "crímenes"),
    "Documentary": ("documentary", "documentaries", "documental", "documentales"),
    "Drama": ("drama", "dramas"),
    "Fantasy": ("fantasy", "fantasía", "fantasia", "fantástica"),
    "Film-Noir": ("noir", "cine negro"),
    "Horror": ("horror", "scary", "terror", "miedo"),
    "Musical": ("musical", "musicals", "musicales"),
    "Mystery": ("mystery", "misterio"),
    "Romance": ("romance", "romantic", "romántica", "romántico", "amor"),
    "Sci-Fi": ("sci-fi", "science fiction", "ciencia ficción", "ciencia ficcion"),
    "Thriller": ("thriller", "thrillers", "suspense"),
    "War": ("war", "guerra"),
    "Western": ("western", "westerns", "vaqueros"),
}
_NOT = r"(?:not|no|without|nothing|never|sin|nada de|ni|nunca|tampoco)"
_LIKE = re.compile(
    r"\b(?:something like|similar to|in the style of|like|algo como|parecid[ao]s? a|al estilo de|como)\s+(.+?)"
    r"(?=\s+(?:but|pero|only|and|y|sin|without|not|aunque|though|con|with)\b|[,.;]|$)",
    re.IGNORECASE,
)
_DECADE = re.compile(r"\b(?:los(?: años)?|años)\s+(?:19)?(\d0)(?:'?s)?\b|\b(?:the\s+)?(?:19)?(\d0)'?s\b", re.IGNORECASE)
_BEFORE = re.compile(r"\b(?:before|antes de|older than|anterior(?:es)? a)\s+(?:el\s+)?(\d{4})\b", re.IGNORECASE)
_AFTER = re.compile(
    r"\b(?:after|since|desde|después de|despues de|posterior(?:es)? a)\s+(?:el\s+)?(\d{4})\b", re.IGNORECASE
)
_FIRST, _LAST = 1880, 2100


@dataclass(frozen=True)
class Wish:
    """What was understood.

    Attributes:
        text: What is left to be searched by its meaning: everything but films' titles and what must not be.
        like: Ids of the films that were named after "like".
        genres: That were asked for.
        barred: Genres that must not be.
        years: First and last.
    """

    text: str = ""
    like: tuple[int, ...] = ()
    genres: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    years: tuple[int, int] = (_FIRST, _LAST)


def wish(text: str, titles: Mapping[str, int]) -> Wish:
    """Take a wish apart.

    Args:
        text: As somebody wrote it; only its first LONGEST characters are read.
        titles: Film's id by the key of its title (`title_key`).

    >>> found = wish("something like Alien but funny, not horror, before 1990", {"alien": 7})
    >>> found.like, found.genres, found.barred, found.years, found.text
    ((7,), ('Comedy',), ('Horror',), (1880, 1989), 'funny')
    """
    rest = " ".join(text[:LONGEST].split())
    named: list[int] = []
    for found in _LIKE.finditer(rest):
        film = titles.get(title_key(found[1]))
        if film is not None:
            named.append(film)
            rest = rest.replace(found[0], " ", 1)
    years, rest = _years(rest)
    barred, rest = _barred(rest)
    kept = [genre for genre, names in GENRES.items() if any(_said(name, rest) for name in names)]
    left = re.sub(r"\s+", " ", re.sub(r"^\W*(?:but|pero|and|y)\b", "", rest.strip(" ,.;"), flags=re.IGNORECASE))
    return Wish(left.strip(" ,.;"), tuple(dict.fromkeys(named)), tuple(kept), tuple(barred), years)


def _years(text: str) -> tuple[tuple[int, int], str]:
    first, last = _FIRST, _LAST
    if found := _BEFORE.search(text):
        last = int(found[1]) - 1
    if found := _AFTER.search(text):
        first = int(found[1])
    if found := _DECADE.search(text):
        first = 1900 + int(found[1] or found[2])
        last = first + 9
    for pattern in (_BEFORE, _AFTER, _DECADE):
        text = pattern.sub(" ", text)
    return (first, last), text


def _barred(text: str) -> tuple[list[str], str]:
    """Genres behind a word of denial, and the text without them."""
    barred = []
    for genre, names in GENRES.items():
        for name in names:
            pattern = re.compile(rf"\b{_NOT}\s+(?:\w+\s+){{0,2}}?{re.escape(name)}\b", re.IGNORECASE)
            if pattern.search(text):
                barred.append(genre)
                text = pattern.sub(" ", text)
                break
    return barred, text


def _said(name: str, text: str) -> bool:
    return f" {' '.join(words(name))} " in f" {' '.join(words(text))} "
