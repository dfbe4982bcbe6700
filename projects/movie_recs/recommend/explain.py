"""Why a film is in a list: which liked film speaks for it, what both have in common, and which sentence of its plot."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from projects.movie_recs.data.films import Film, sentences, story
from projects.movie_recs.embeddings.vectors import MOST_SENTENCES

MOST_SHARED = 3
_MAKING_WORDS = (
    r"was|were|had|did|has been|have been|became|began|led|made|lost|signed|said|stated|spent|attempted|came|"
    r"took|wrote|commented|brought|photography|divided into|chart|according to|reportedly|actors?|actress|cast|"
    r"casting|roles?|supporting|appear|appearance|director|direct|design\w*|develop\w*|production|project|"
    r"script\w*|created?|creators?|writing|story team|features|portray\w*|followed by|sequels?|prequels?|"
    r"series|franchise|trilogy|versions?|original|adaptation|episode|installments?|considered|regarded|deemed|"
    r"ranks?|ranked|list|listed|hailed|praised|known|famous|notable|popular\w*|influen\w+|success\w*|superior|"
    r"best|greatest|hallmarks?|motifs?|styles?|subgenres?|genres?|example|dialogue|subtitled|gross\w*|budget|"
    r"banned|withdrawn|discussion|audiences?|viewers?|culture|cult|scenes?|sequences?|songs?|music|themes?|"
    r"media|effect|still|today"
)
"""In a sentence with one of these an introduction speaks of the making, of what came of it, or of who liked it."""
_MAKING = re.compile(
    rf"\b({_MAKING_WORDS})\b|\$|(?-i:[a-z\"”][.][A-Z])|\b(19|20)\d\d\)|\bplayed by [^,]*[.]$", re.IGNORECASE
)
_COMPANY = re.compile(r"\b(Studios?|Pictures|Productions?|Films|Entertainment|Company|Corporation)$")


@dataclass(frozen=True)
class Reason:
    """What a list says beside a film.

    Attributes:
        because: Id of the liked film that speaks for it most; None if none does (a popular film, for somebody new).
        share: Part of the film's score that comes from it, 0 to 1.
        genres: That both are of.
        people: Whom both name.
        sentence: In the film's text, the one nearest to the liked film's; "" without one.
    """

    because: int | None = None
    share: float = 0.0
    genres: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    sentence: str = ""


@lru_cache(maxsize=4_096)
def plot_sentences(film: Film) -> tuple[str, ...]:
    """The sentences that a reason may quote: those that tell what happens, in the present as stories are told, and say
    nothing of who made the film, what came of it and who liked it; none is better than a silly one.
    """
    told = set(sentences(story(film)))
    found = [each for each in sentences(film.text)[:MOST_SENTENCES] if each in told]
    return tuple(each for each in found if film.kind != "introduction" or not _MAKING.search(each))


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
        share: Part of the film's score that comes from the liked one.
        told: Sentences of the recommended film's text.
        nearness: How near each sentence is to the liked film's text.
    """
    best = told[int(np.argmax(nearness))] if len(told) and len(nearness) == len(told) else ""
    return Reason(
        liked.id,
        share,
        tuple(genre for genre in film.genres if genre in liked.genres)[:MOST_SHARED],
        tuple(name for name in film.people if name in liked.people and not _COMPANY.search(name))[:MOST_SHARED],
        best,
    )
