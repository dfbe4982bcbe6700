"""How good a classifier is, how sure it may be, and where it should say nothing. Pure functions of probabilities.

n articles · k topics
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

BINS = 10


def confusion(labels: Sequence[int], predicted: Sequence[int], topics: int) -> Int[np.ndarray, "k k"]:
    """Counts, truth by row; an article of a topic that the model does not know (−1) is in no cell."""
    counts = np.zeros((topics, topics), dtype=np.int64)
    for truth, said in zip(labels, predicted, strict=True):
        if truth >= 0:
            counts[truth, said] += 1
    return counts


@dataclass(frozen=True)
class PerClass:
    """Precision, recall and F1 of each topic, and how many articles it has; 0 where nothing was right."""

    precision: Float[np.ndarray, " k"]
    recall: Float[np.ndarray, " k"]
    f1: Float[np.ndarray, " k"]
    support: Int[np.ndarray, " k"]


def per_class(labels: Sequence[int], predicted: Sequence[int], topics: int) -> PerClass:
    """As scikit-learn has it with zero_division=0; an article of an unknown topic costs precision."""
    counts = confusion(labels, predicted, topics)
    right = np.diag(counts).astype(float)
    said = np.bincount(np.asarray(predicted, dtype=int), minlength=topics)
    support = counts.sum(1)
    precision = right / np.maximum(said, 1)
    recall = right / np.maximum(support, 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return PerClass(precision, recall, f1, support)


def scores(labels: Sequence[int], predicted: Sequence[int], topics: int) -> dict[str, float]:
    """Accuracy, macro-F1 and balanced accuracy; means over the topics that the labels hold.

    An article whose topic is unknown (−1) counts as wrong.
    """
    each = per_class(labels, predicted, topics)
    there = each.support > 0
    right = np.asarray(labels) == np.asarray(predicted)
    return {
        "accuracy": float(right.mean()),
        "macro_f1": float(each.f1[there].mean()) if there.any() else 0.0,
        "balanced_accuracy": float(each.recall[there].mean()) if there.any() else 0.0,
    }


# ---------------------------------------------------------------- how sure


def temperature(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """T > 0 that makes softmax(logits / T) likeliest on validation; the order of topics stays.

    Source: Guo et al. 2017, "On calibration of modern neural networks", §4.2. By bisection of the derivative in
    1/T: the loss is convex there.
    """
    known = labels >= 0
    logits, labels = logits[known].double(), labels[known]

    def slope(inverse: float) -> float:
        scale = torch.tensor(inverse, dtype=torch.float64, requires_grad=True)
        loss = cross_entropy(logits * scale, labels)
        (found,) = torch.autograd.grad(loss, scale)
        return float(found)

    low, high = 1e-3, 1e3
    for _ in range(80):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / (low * high) ** 0.5


def reliability(confidence: Float[np.ndarray, " n"], right: Sequence[bool]) -> list[dict[str, float]]:
    """Mean confidence, accuracy and number of articles in each of BINS equal bins of confidence, without empty ones."""
    correct = np.asarray(right, dtype=float)
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (0, 0.1], …
    return [
        {
            "confidence": float(confidence[place == bin_].mean()),
            "accuracy": float(correct[place == bin_].mean()),
            "articles": int((place == bin_).sum()),
        }
        for bin_ in range(BINS)
        if (place == bin_).any()
    ]


def expected_calibration_error(confidence: Float[np.ndarray, " n"], right: Sequence[bool]) -> float:
    """Mean distance of confidence and accuracy over bins, by articles. Source: Naeini et al. 2015, eq. 3."""
    rows = reliability(confidence, right)
    return sum(row["articles"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(confidence)


def threshold_at(confidence: Float[np.ndarray, " n"], coverage: float) -> float:
    """The confidence from which on an answer is given, such that this share of validation is answered."""
    return float(np.quantile(confidence, 1 - coverage, method="lower"))


def abstention(confidence: Float[np.ndarray, " n"], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(coverage, errors among the answered as a share of all errors) as the least sure are left out one by one.

    Source: El-Yaniv and Wiener 2010, the risk-coverage curve.
    """
    wrong = ~np.asarray(right, dtype=bool)[np.argsort(-confidence, kind="stable")]
    errors = np.cumsum(wrong)
    total = max(1, int(wrong.sum()))
    return [((n + 1) / len(wrong), float(errors[n]) / total) for n in range(len(wrong))]


def hardest(probabilities: Float[np.ndarray, "n k"], labels: Sequence[int], count: int) -> list[int]:
    """Wrong articles, those first of which the model was surest."""
    said, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = [row for row, label in enumerate(labels) if said[row] != label]
    return sorted(wrong, key=lambda row: (-sure[row], row))[:count]


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Probabilities in double precision."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    raised = np.exp(shifted)
    return raised / raised.sum(1, keepdims=True)
