"""Questions made from film articles: facts in several wordings, and questions that their text does not answer."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from projects.onnx_serving.facts import Kind, facts_of, silent_on
from projects.onnx_serving.phrasings import WORDINGS, Wording
from shared.errors import UserError

Origin = Literal["own", "other", "silent"]


@dataclass(frozen=True)
class Question:
    """One question, and what is right to answer.

    Attributes:
        context: The article to answer from.
        answer: Characters of the context, or "" where it holds no answer.
        start: Where the answer begins in the context; 0 without one.
        film: The title in the question.
        origin: "own": the film's article, which states the answer; "other": another film's article; "silent": the
            film's article, which does not say it.
    """

    text: str
    context: str
    answer: str
    start: int
    kind: Kind
    film: str
    origin: Origin

    @property
    def answerable(self) -> bool:
        """Whether the context holds the answer."""
        return self.origin == "own"

    def as_json(self) -> list[str | int]:
        """What a fingerprint of the data is made of."""
        return [self.text, self.context, self.answer, self.start]


@dataclass(frozen=True)
class Film:
    """A title and its article."""

    title: str
    text: str
    year: int


@cache
def load_films() -> dict[str, tuple[Film, ...]]:
    """The films of each split whose article is about them; read once a process, and not to be changed."""
    from shared.assets import film_articles

    splits = film_articles()
    return {
        name: tuple(Film(_spoken(row["title"]), row["text"], row["year"]) for row in rows if not row["mispaired"])
        for name, rows in splits.items()
    }


def _spoken(title: str) -> str:
    """The title as one says it: "Vertigo (film)" is Vertigo."""
    return title.partition(" (")[0].strip() or title


def questions_of(films: Sequence[Film], *, seed: int, wording: Wording = "trained") -> list[Question]:
    """Every fact of the films once, as many unanswerable questions as half the facts, and the silent ones.

    Args:
        films: The films of one split.
        seed: Decides wordings and which other film's article stands in; another one for each epoch of training.
        wording: Which wordings to ask in.

    Raises:
        UserError: If the films are fewer than two: there is no other film to ask about.
    """
    if len(films) < 2:
        raise UserError(f"{len(films)} films: at least 2 are needed for questions about another film")
    draw = random.Random(seed)
    wordings = WORDINGS[wording]
    found: list[Question] = []
    for film in films:
        for fact in facts_of(film.text, film.year):
            text = draw.choice(wordings[fact.kind]).format(title=film.title)
            found.append(Question(text, film.text, fact.answer, fact.start, fact.kind, film.title, "own"))
            if draw.random() < 0.5:
                other = _other(films, film, draw)
                text = draw.choice(wordings[fact.kind]).format(title=film.title)
                found.append(Question(text, other.text, "", 0, fact.kind, film.title, "other"))
        for kind in silent_on(film.text):
            text = draw.choice(wordings[kind]).format(title=film.title)
            found.append(Question(text, film.text, "", 0, kind, film.title, "silent"))
    return found


def _other(films: Sequence[Film], film: Film, draw: random.Random) -> Film:
    """Another film whose article does not speak of this one."""
    while True:
        other = draw.choice(films)
        if other.title != film.title and film.title.casefold() not in other.text.casefold():
            return other


def counts(questions: Iterable[Question]) -> dict[str, int]:
    """How many questions of each kind and origin there are."""
    total: dict[str, int] = {}
    for question in questions:
        for name in (question.kind, question.origin):
            total[name] = total.get(name, 0) + 1
    return total
