"""What each article counts in training where topics are of unequal size.

A loss gives a number for each article and the weight with which it enters the mean, so that a mean over a big batch and
one over its micro-batches are the same (`weighted_sum`).

b articles · k topics
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

Balance = Literal["none", "weights", "over", "under", "focal", "logit"]
"""Class weights, over- or under-sampling (balance/sampling.py), focal loss, logit adjustment."""
BALANCES: tuple[Balance, ...] = ("none", "weights", "over", "under", "focal", "logit")

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(logits (b, k), labels (b)) → (loss of each article (b), its weight (b))."""


def class_weights(counts: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """N / (k · n_c), "balanced" in scikit-learn; a topic without articles weighs nothing.

    Source: King and Zeng 2001, "Logistic regression in rare events data", §4.2.
    """
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weights, torch.zeros_like(weights))


def focal(logits: Float[Tensor, "b k"], labels: Int[Tensor, " b"], gamma: float = 2.0) -> Float[Tensor, " b"]:
    """−(1 − p_y)^γ log p_y: what is easy counts little. Source: Lin et al. 2017, "Focal loss", eq. 4."""
    own = -cross_entropy(logits, labels, reduction="none")  # log p_y
    return -((1 - own.exp()) ** gamma) * own


def adjusted(
    logits: Float[Tensor, "b k"], labels: Int[Tensor, " b"], priors: Float[Tensor, " k"], tau: float = 1.0
) -> Float[Tensor, " b"]:
    """Cross-entropy of logits + τ log π, so that the logits themselves are those of equal priors.

    Source: Menon et al. 2021, "Long-tail learning via logit adjustment", eq. 10. A topic without articles has π = 0: it
    is left as it is.
    """
    known = torch.where(priors > 0, priors.clamp(min=1e-12).log(), torch.zeros_like(priors))
    return cross_entropy(logits + tau * known, labels, reduction="none")


def make_loss(balance: Balance, counts: Float[Tensor, " k"]) -> Loss:
    """The loss of a switch.

    Args:
        balance: The samplers' loss is plain cross-entropy.
        counts: Articles of each topic in training.
    """
    weights, priors = class_weights(counts), counts / counts.sum()

    def loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(len(labels))
        if balance == "focal":
            return focal(logits, labels), ones
        if balance == "logit":
            return adjusted(logits, labels, priors), ones
        return cross_entropy(logits, labels, reduction="none"), weights[labels] if balance == "weights" else ones

    return loss


def weighted_sum(losses: Float[Tensor, " b"], weights: Float[Tensor, " b"], window: float) -> Float[Tensor, ""]:
    """Part of a micro-batch in the weighted mean of its window, times the articles of the window.

    `shared.optim.accumulated_step` divides a sum by a number of articles. The mean of a window is Σ w·l / Σ w over all
    of it: dividing by the weights of each micro-batch instead is the known bug, wrong where they differ.

    Args:
        losses: One an article.
        weights: One an article.
        window: (articles of the window) / (sum of their weights).
    """
    return (losses * weights).sum() * window
