"""Scores: ranks of what was sought, agreement of an answer with the right ones, and intervals over films."""

# n items

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from shared import squad
from shared.words import words

RESAMPLES = 2000


def exact_match(answer: str, right: Sequence[str]) -> float:
    """1.0 if the answer is one of the right ones by SQuAD's rule, else 0.0."""
    return max(squad.exact(answer, each) for each in right)


def f1(answer: str, right: Sequence[str]) -> float:
    """The best of SQuAD's F1 over the right answers, in [0, 1]."""
    return max(squad.f1(answer, each) for each in right)


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in the text, word for word, whatever punctuation is between the words."""
    inside = f" {' '.join(words(text))} "
    return any(f" {said} " in inside for said in (" ".join(words(each)) for each in answers) if said)


def reciprocal_rank(ranking: Sequence[str], sought: str) -> float:
    """1 / rank of the first hit, ranks from 1; 0 if there is none."""
    return next((1 / rank for rank, each in enumerate(ranking, start=1) if each == sought), 0.0)


def bootstrap(values: Sequence[float], films: Sequence[str], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean when films are drawn again with all their questions.

    Args:
        values: One a question.
        films: Of the same length: questions of one film are not independent.
        seed: Of the draws.

    Source: Efron and Tibshirani 1993, the percentile interval; films are the clusters.
    """
    means = resampled_means(values, films, seed=seed)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def resampled_means(values: Sequence[float], films: Sequence[str], *, seed: int = 0) -> Float[np.ndarray, " n"]:
    """Means over RESAMPLES draws of as many films as there are, with replacement."""
    names = sorted(set(films))
    place = {name: row for row, name in enumerate(names)}
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, film in zip(values, films, strict=True):
        sums[place[film]] += value
        counts[place[film]] += 1
    drawn = np.random.default_rng(seed).integers(len(names), size=(RESAMPLES, len(names)))
    return sums[drawn].sum(1) / counts[drawn].sum(1)


def balanced_accuracy(scores: Sequence[float], answerable: Sequence[bool], threshold: float) -> float:
    """Mean of the shares rightly answered (score ≥ threshold) and rightly refused."""
    kept = np.asarray(scores) >= threshold
    truth = np.asarray(answerable, dtype=bool)
    return float((kept[truth].mean() + (~kept[~truth]).mean()) / 2)


def best_threshold(scores: Sequence[float], answerable: Sequence[bool]) -> float:
    """The threshold with the best balanced accuracy; of equals the middle one of the first run."""
    cuts = sorted(set(scores))
    middles = [0.0, *((low + high) / 2 for low, high in pairwise(cuts)), 1.0]
    values = [balanced_accuracy(scores, answerable, cut) for cut in middles]
    best = max(values)
    run = [cut for cut, value in zip(middles, values, strict=True) if value == best]
    return round(run[len(run) // 2], 4)
