"""Accuracy, precision, recall, F1 and calibration, from their definitions; scikit-learn is the oracle of the tests."""

# n texts · c classes · k bins

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

BINS = 10


@dataclass(frozen=True)
class Scores:
    """How well one split is classified, all between 0 and 1.

    Attributes:
        accuracy: Share of right answers.
        precision: Mean over classes of TP / (TP + FP), 0 for a class that is never predicted.
        recall: Mean over classes of TP / (TP + FN), 0 for a class that is not there.
        macro_f1: Mean over classes of their F1.
    """

    accuracy: float
    precision: float
    recall: float
    macro_f1: float


@dataclass(frozen=True)
class Calibration:
    """Whether a confidence of 0.8 is right 8 times in 10.

    Attributes:
        ece: Expected calibration error, Σ |bin|/n · |accuracy − confidence|. Source: Guo et al. 2017, eq. 3.
        counts: Texts in each of BINS bins of equal width of the largest probability.
        confidence: Mean largest probability in each bin, 0 where it is empty.
        accuracy: Share of right answers in each bin, 0 where it is empty.
    """

    ece: float
    counts: list[int]
    confidence: list[float]
    accuracy: list[float]


def confusion(labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: int) -> Int[np.ndarray, "c c"]:
    """Counts, a row a true class, a column a predicted one.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(matrix: Int[np.ndarray, "c c"]) -> dict[str, Float[np.ndarray, " c"]]:
    """Precision, recall and F1 of each class; 0/0 is 0."""
    right = np.diag(matrix).astype(float)
    predicted, support = matrix.sum(0), matrix.sum(1)
    return {
        "precision": _ratio(right, predicted),
        "recall": _ratio(right, support),
        "f1": _ratio(2 * right, predicted + support),
    }


def scores(matrix: Int[np.ndarray, "c c"]) -> Scores:
    """The four scores of a confusion matrix."""
    each = per_class(matrix)
    accuracy = float(np.trace(matrix) / max(1, matrix.sum()))
    return Scores(accuracy, float(each["precision"].mean()), float(each["recall"].mean()), float(each["f1"].mean()))


def calibration(probabilities: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> Calibration:
    """Compare confidence with accuracy in BINS bins (0, 0.1], (0.1, 0.2], …"""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    mean_confidence = _ratio(np.bincount(place, confidence, BINS), counts)
    accuracy = _ratio(np.bincount(place, right, BINS), counts)
    ece = float((counts / max(1, counts.sum()) * np.abs(accuracy - mean_confidence)).sum())
    return Calibration(ece, counts.tolist(), mean_confidence.tolist(), accuracy.tolist())


def softmax(logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Probabilities of scores, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided exact p of a mean difference of pairs: the share of sign flips whose mean is at least as far from 0.

    Exact for few seeds and without assuming a normal distribution; with n pairs it cannot be below 2/2ⁿ (0.0625 for 5).

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625

    Source: Fisher 1935, "The Design of Experiments", §21.
    """
    observed = abs(sum(differences))
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-12 for signs in flips)
    return far / len(flips)


def trainer_metrics(prediction: Any) -> dict[str, float]:
    """The Trainer's `compute_metrics`: the four scores of an EvalPrediction."""
    logits, labels = prediction.predictions, prediction.label_ids
    return vars(scores(confusion(labels, logits.argmax(1), logits.shape[1])))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
