"""Measures of answers and of rankings, and intervals over questions.

An answer is right by SQuAD's rule (shared/squad.py), in Spanish by the same with its own articles and marks taken out
and accents kept; where nothing answers, saying so is right, and only that.
"""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from projects.qa_api.data.documents import QUESTIONS, Language
from shared import squad

SPANISH_ARTICLES = re.compile(r"\b(?:el|la|los|las|un|una|unos|unas|del|al)\b", re.IGNORECASE)
MARKS = re.compile(r"[¿¡«»“”‘’]")
Kind = Literal["clear", "none", "ambiguous"]


@dataclass(frozen=True)
class Question:
    """A question written by hand.

    Attributes:
        document: Title of the document that answers, or that it is about.
        answers: Accepted ones.
        options: Title → answer of those that an ambiguous one may mean.
    """

    text: str
    language: Language
    kind: Kind
    document: str = ""
    answers: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scored:
    """Exact match and F1, the best over accepted answers."""

    exact: float
    f1: float


@cache
def questions() -> tuple[Question, ...]:
    """The 250 questions of questions.toml."""
    told = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["questions"]
    return tuple(
        Question(each["text"], each["language"], each["kind"], each.get("document", ""),
                 tuple(each.get("answers", ())), tuple(each.get("options", {}).items()))
        for each in told
    )  # fmt: skip


def plain(answer: str, language: Language = "en") -> str:
    """What of an answer counts, before SQuAD's own rule."""
    text = MARKS.sub("", answer.replace("\u00a0", " "))
    return SPANISH_ARTICLES.sub(" ", text) if language == "es" else text


def scored(given: str, accepted: Sequence[str], language: Language = "en") -> Scored:
    """How right an answer is; "" says that nothing answers."""
    told = plain(given, language)
    wanted = [plain(each, language) for each in accepted] or [""]
    return Scored(max(squad.exact(told, each) for each in wanted), max(squad.f1(told, each) for each in wanted))


def no_answer_f1(said_none: Sequence[bool], is_none: Sequence[bool]) -> float:
    """F1 of saying "not in them": over the questions that nothing answers, and those of which it was said."""
    hits = sum(said and right for said, right in zip(said_none, is_none, strict=True))
    return 2 * hits / max(sum(said_none) + sum(is_none), 1)


def recall_at(ranks: Sequence[int | None], k: int) -> float:
    """Share of the queries whose right document is among the first k; ranks are from 1, None is not found."""
    return sum(rank is not None and rank <= k for rank in ranks) / max(len(ranks), 1)


def reciprocal(ranks: Sequence[int | None], most: int = 10) -> float:
    """Mean of 1 / rank, 0 beyond `most`."""
    return sum(1 / rank for rank in ranks if rank is not None and rank <= most) / max(len(ranks), 1)


def expected_calibration_error(
    chance: Float[np.ndarray, " n"], right: Float[np.ndarray, " n"], bins: int = 10
) -> float:
    """Mean distance of stated and met chance over bins of as many answers each, weighted by their size.

    Source: Naeini et al. 2015; bins of equal mass (Nixon et al. 2019), since most chances lie near the ends.
    """
    parts = [part for part in np.array_split(np.argsort(chance, kind="stable"), bins) if len(part)]
    return float(sum(len(part) * abs(chance[part].mean() - right[part].mean()) for part in parts) / max(len(chance), 1))


@dataclass(frozen=True)
class Operating:
    """A threshold on the chance of being right.

    Attributes:
        coverage: Share of the questions that get an answer.
        wrong: Share of the answers that are wrong.
    """

    threshold: float
    coverage: float
    wrong: float


def at_most_wrong(chance: Float[np.ndarray, " n"], right: Float[np.ndarray, " n"], most: float) -> Operating:
    """The largest coverage at which no more than a share of the answers is wrong; nothing is answered if none is."""
    order = np.argsort(-chance, kind="stable")
    wrong = np.cumsum(1 - right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.diff(chance[order]) != 0, True)  # of equal chances all or none
    fit = np.flatnonzero((wrong <= most) & last)
    if not len(fit):
        return Operating(float("inf"), 0.0, 0.0)
    at = int(fit[-1])
    return Operating(float(chance[order[at]]), (at + 1) / len(order), float(wrong[at]))


def interval(
    measure: Callable[[Int[np.ndarray, " m"]], float], count: int, *, seed: int = 0, draws: int = 2000
) -> tuple[float, float]:
    """95 % percentile bootstrap over questions."""
    random = np.random.default_rng(seed)
    values = [measure(random.integers(count, size=count)) for _ in range(draws)]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
