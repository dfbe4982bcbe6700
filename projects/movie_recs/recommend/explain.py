"""Why a film is in a list: which liked film speaks for it, what both have in common, and which sentence of its plot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from projects.movie_recs.data.films import Film, sentences, story

MOST_SHARED = 3


@dataclass(frozen=True)
class Reason:
    """What a list says beside a film.

    Attributes:
        because: Id of the liked film that speaks for it most; None if none does (a popular film, for somebody new).
        share: Of the film's score that comes from it, 0 to 1.
        genres: That both are of.
        people: Whom both name.
        sentence: Of the film's text, the one nearest to the liked film's; "" without one.
    """

    because: int | None = None
    share: float = 0.0
    genres: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    sentence: str = ""


def plot_sentences(film: Film, most: int = 24) -> list[str]:
    """The sentences that a reason may quote: those that tell what happens, not who made the film and what it won."""
    return sentences(story(film))[:most]


def strongest(contributions: Float[np.ndarray, " n"]) -> tuple[int, float] | None:
    """Place of the largest contribution to a sum and its share of the positive ones; None if none is positive."""
    positive = np.maximum(contributions, 0)
    if not len(positive) or positive.max() <= 0:
        return None
    best = int(np.argmax(positive))
    return best, float(positive[best] / positive.sum())


def reason(film: Film, liked: Film, share: float, told: Sequence[str], nearness: Float[np.ndarray, " n"]) -> Reason:
    """Put a reason together.

    Args:
        film: The recommended one.
        liked: The one that speaks for it.
        share: See `Reason`.
        told: Sentences of the recommended film's text.
        nearness: Of each sentence to the liked film's text.
    """
    best = told[int(np.argmax(nearness))] if len(told) and len(nearness) == len(told) else ""
    return Reason(
        liked.id,
        share,
        tuple(genre for genre in film.genres if genre in liked.genres)[:MOST_SHARED],
        tuple(name for name in film.people if name in liked.people)[:MOST_SHARED],
        best,
    )
