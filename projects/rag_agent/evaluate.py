"""Scores: ranks of what was sought, agreement of an answer with the right ones, and what a threshold lets through."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from shared import squad
from shared.words import words


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


def best_confidence(scores: Mapping[float, Sequence[float]], answerable: Sequence[bool]) -> tuple[float, float]:
    """Which confidence separates best, and at which threshold.

    Args:
        scores: By the cosine's share in it, the confidence in each answer.
        answerable: Whether each question can be answered; both kinds of unanswerable ones count as one.
    """
    cuts = {share: best_threshold(each, answerable) for share, each in scores.items()}
    share = max(cuts, key=lambda share: (balanced_accuracy(scores[share], answerable, cuts[share]), share))
    return share, cuts[share]


def share_below(scores: Sequence[float], threshold: float) -> float:
    """The share of the scores that a threshold refuses, to four digits."""
    return round(sum(score < threshold for score in scores) / len(scores), 4)
