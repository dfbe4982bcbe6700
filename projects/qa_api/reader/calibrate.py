"""What an answer's scores are worth: the chance that it is right, from a logistic model fitted on validation.

Scores of two documents cannot be compared, and a softmax over what was retrieved always finds somebody right; a model
of right and wrong answers, that knows how well the document was found and how well it was read, can say "none".

n answers · f features
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

FEATURES = ("margin", "score", "found", "rank", "named", "lead")

NUMBERS = ("constant", "threshold", "sure", "least", "apart")


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate answer.

    Attributes:
        margin: How much better its span is than none.
        score: The span's own.
        found: How far its document is behind the best found, ≤ 0.
        rank: 1 / rank of the document.
        named: Whether the question names the document.
        lead: How far its margin is above the best of the other documents.
    """

    margin: float
    score: float
    found: float
    rank: float
    named: float
    lead: float

    @property
    def values(self) -> list[float]:
        """Bounded, so that one odd score does not decide."""
        told = [self.margin / 4, self.score / 8, self.found / 4, self.rank, self.named, self.lead / 4]
        return [float(np.clip(each, -4, 4)) for each in told]


@dataclass(frozen=True)
class Calibrator:
    """The chance that an answer is right.

    Attributes:
        weights: (f,).
        threshold: Below it "not in them" is said; chosen on validation.
        sure: From it on at most a twentieth of the answers were wrong on validation.
        least: Chance that an option of a question back has at least; `apart`, how much of the best answer's.
    """

    weights: Float[np.ndarray, " f"]
    constant: float
    threshold: float
    sure: float = 1.0
    least: float = 0.2
    apart: float = 0.35

    def chance(self, evidence: Sequence[Evidence]) -> Float[np.ndarray, " n"]:
        """In [0, 1]."""
        values = np.array([each.values for each in evidence]).reshape(len(evidence), len(FEATURES))
        chance: Float[np.ndarray, " n"] = 1 / (1 + np.exp(-(values @ self.weights + self.constant)))
        return chance

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {"weights": self.weights.tolist(), **{name: getattr(self, name) for name in NUMBERS}}

    @classmethod
    def from_json(cls, told: dict[str, object]) -> "Calibrator":
        """Undo of `as_json`."""
        return cls(np.array(told["weights"], float), *(float(told[name]) for name in NUMBERS))  # type: ignore[arg-type]


UNCALIBRATED = Calibrator(np.array([4.0, 0.0, 1.0, 0.0, 0.5, 0.0]), 0.0, 0.5)
"""Before anything was fitted: even where span and none are even."""


@dataclass(frozen=True)
class Judged:
    """Candidate answers to one question of the validation part.

    Attributes:
        evidence: What is known of each candidate.
        right: Its F1 with what the question's own document says; 0 for all where nothing answers.
        answerable: Whether anything does.
    """

    evidence: tuple[Evidence, ...]
    right: tuple[float, ...]
    answerable: bool


RIGHT = 0.5  # of F1, from which on an answer counts as right


def fit_calibrator(judged: Sequence[Judged]) -> Calibrator:
    """Rank candidates by a logistic model of all of them; then scale its logit to what the best of a question is worth.

    The best of several is right more or less often than its own logit says: it was chosen for being large, and at most
    one of them may be right. So the second fit (Platt 1999). The threshold is the one with the largest mean F1 over
    questions, 1 for "none" where nothing answers.
    """
    every = [each for one in judged for each in one.evidence]
    right = [value >= RIGHT for one in judged for value in one.right]
    weights = logistic(np.array([each.values for each in every]), np.array(right, float))
    first = Calibrator(weights[:-1], float(weights[-1]), 0.5)
    told = [one for one in judged if one.evidence]
    best = [int(first.chance(one.evidence).argmax()) for one in told]
    logits = np.array([_logit(first.chance([one.evidence[at]])[0]) for one, at in zip(told, best, strict=True)])
    scale, shift = logistic(
        logits[:, None], np.array([one.right[at] >= RIGHT for one, at in zip(told, best, strict=True)], float)
    )
    scaled = Calibrator(scale * first.weights, float(scale * first.constant + shift), 0.5)
    chances = np.array([scaled.chance([one.evidence[at]])[0] for one, at in zip(told, best, strict=True)])
    f1 = np.array([one.right[at] for one, at in zip(told, best, strict=True)])
    return replace(scaled, threshold=best_threshold(chances, f1, np.array([one.answerable for one in told])))


def best_threshold(chance: Float[np.ndarray, " n"], f1: Float[np.ndarray, " n"], answerable: Any) -> float:
    """The chance from which on to answer, for the largest mean F1: midway between two chances; of equals the lowest."""
    order = np.argsort(-chance, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum(np.where(answerable[order], f1[order], -1.0))])
    gains[1:-1][np.diff(chance[order]) == 0] = -np.inf  # of equal chances all or none
    answered = len(gains) - 1 - int(gains[::-1].argmax())
    ends = np.concatenate([[1.0], chance[order], [0.0]])
    return float((ends[answered] + ends[answered + 1]) / 2)


def logistic(values: Float[np.ndarray, "n f"], wanted: Float[np.ndarray, " n"], penalty: float = 1e-3) -> Any:
    """Weights and, last, the constant of maximum likelihood with a small penalty of squared weights."""
    data, goals = torch.tensor(values), torch.tensor(wanted)
    weights = torch.zeros(data.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(data @ weights[:-1] + weights[-1], goals)
        value = value + penalty * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach().numpy().copy()


def _logit(chance: float) -> float:
    kept = min(max(chance, 1e-9), 1 - 1e-9)
    return float(np.log(kept / (1 - kept)))
