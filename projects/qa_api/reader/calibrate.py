"""What an answer's scores are worth: the chance that it is right, from a logistic model fitted on validation.

Scores of two documents cannot be compared, and a softmax over what was retrieved always finds somebody right; a model
of right and wrong answers, that knows how well the document was found and how well it was read, can say "none".

n answers · f features
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

FEATURES = ("margin", "score", "found", "rank", "named", "lead")


@dataclass(frozen=True)
class Evidence:
    """What is known of a candidate answer.

    Attributes:
        margin: How much better its span is than none.
        score: Of the span.
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
    """

    weights: Float[np.ndarray, " f"]
    constant: float
    threshold: float

    def chance(self, evidence: Sequence[Evidence]) -> Float[np.ndarray, " n"]:
        """In [0, 1]."""
        values = np.array([each.values for each in evidence]).reshape(len(evidence), len(FEATURES))
        chance: Float[np.ndarray, " n"] = 1 / (1 + np.exp(-(values @ self.weights + self.constant)))
        return chance

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {"weights": self.weights.tolist(), "constant": self.constant, "threshold": self.threshold}

    @classmethod
    def from_json(cls, told: dict[str, object]) -> "Calibrator":
        """Undo of `as_json`."""
        weights = np.array(told["weights"], dtype=float)
        return cls(weights, float(told["constant"]), float(told["threshold"]))  # type: ignore[arg-type]


UNCALIBRATED = Calibrator(np.array([4.0, 0.0, 1.0, 0.0, 0.5, 0.0]), 0.0, 0.5)
"""Before anything was fitted: even where span and none are even."""


def fit_calibrator(evidence: Sequence[Evidence], right: Sequence[bool], *, penalty: float = 1e-3) -> Calibrator:
    """Maximum likelihood with a small penalty; the threshold is the one with the best no-answer F1 there.

    Args:
        right: Whether each answer is, SQuAD's exact rule or an F1 of one half.
    """
    values = torch.tensor(np.array([each.values for each in evidence]))
    wanted = torch.tensor(np.array(right, dtype=float))
    weights = torch.zeros(len(FEATURES) + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = values @ weights[:-1] + weights[-1]
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        value = value + penalty * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = weights.detach().numpy()
    return Calibrator(found[:-1].copy(), float(found[-1]), 0.5)
