"""A head that learns from new labels, and the gate that it must pass before it answers anybody.

The encoder stays; what is updated is the linear head on its embeddings. An update thus takes a second, kept embeddings
stay valid, and a version is a few kilobytes. Two things keep the past: all of it is replayed, and the
head is tied to the one that answers now by a Gaussian prior.

n articles · d width · k topics
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from projects.news_cls import evaluate
from projects.news_cls.monitor.versions import Head
from shared.study import RESAMPLES

Mode = Literal["alone", "anchored", "replay alone", "replay", "retrained"]
MODES: tuple[Mode, ...] = ("alone", "anchored", "replay alone", "replay", "retrained")
ANCHOR, SHARE = 0.3, 0.2
"""Strength of the prior and weight of all new labels together; chosen on validation (measure/update_choice.py)."""
LOOSE, STEPS = 1e-3, 100


@dataclass(frozen=True)
class Labelled:
    """Embeddings with their topics."""

    embeddings: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]

    def __add__(self, other: "Labelled") -> "Labelled":
        return Labelled(torch.cat([self.embeddings, other.embeddings]), torch.cat([self.labels, other.labels]))


def fit_head(start: Head, data: Labelled, weights: Float[Tensor, " n"] | None = None, *, anchor: float = LOOSE) -> Head:
    """The head of the largest posterior around another one: convex, by L-BFGS.

    Minimises Σ w_i · cross-entropy_i / Σ w_i + anchor / 2 · ‖W − W_start‖². With `start` zero it is the usual
    ridge: the frozen arm's head had an anchor of 1 / (C n) = 0.23. Source: Li et al. 2018, "Explicit inductive bias for
    transfer learning with convolutional networks", eq. 2 (L2-SP).

    Args:
        start: Where it begins, and what it is tied to; the bias is free.
        data: What it learns from.
        weights: One an article, by default equal.
        anchor: Strength of the tie; LOOSE only keeps it finite.
    """
    weight = start.weight.clone().requires_grad_(True)
    bias = start.bias.clone().requires_grad_(True)
    each = torch.ones(len(data.labels)) if weights is None else weights
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses = cross_entropy(data.embeddings @ weight.T + bias, data.labels, reduction="none")
        value: Tensor = (losses * each).sum() / each.sum() + anchor / 2 * ((weight - start.weight) ** 2).sum()
        value.backward()
        return value

    optimizer.step(closure)
    return Head(weight.detach(), bias.detach())


def replayed(current: Head, new: Labelled, old: Labelled, *, anchor: float = ANCHOR, share: float = SHARE) -> Head:
    """The head after new labels, with all old articles beside them and the current head as prior.

    Args:
        share: Weight of the new labels together; the old ones have the rest.
    """
    parts = ((new, share), (old, 1 - share))
    each = torch.cat([torch.full((len(part.labels),), weight / len(part.labels)) for part, weight in parts])
    return fit_head(current, new + old, each, anchor=anchor)


def updated(current: Head, new: Labelled, old: Labelled, mode: Mode = "replay") -> Head:
    """The head after new labels.

    Args:
        current: The head that answers now.
        new: What people said since.
        old: What the current head was trained on.
        mode: "alone" goes on with the new labels only, and forgets; "anchored" too, tied to the current head; "replay
            alone" replays the past, half and half, and is not tied; "replay" does both; "retrained" begins from zero
            with everything.
    """
    zero = Head(torch.zeros_like(current.weight), torch.zeros_like(current.bias))
    ways: dict[Mode, Callable[[], Head]] = {
        "alone": lambda: fit_head(current, new),
        "anchored": lambda: fit_head(current, new, anchor=ANCHOR),
        "replay alone": lambda: replayed(current, new, old, anchor=LOOSE, share=0.5),
        "replay": lambda: replayed(current, new, old),
        "retrained": lambda: fit_head(zero, new + old, anchor=ANCHOR),
    }
    return ways[mode]()


# ---------------------------------------------------------------- the gate


@dataclass(frozen=True)
class Holdout:
    """Articles that no update learns from: those of the past, or a share of the new labels."""

    data: Labelled

    def macro_f1_gain(self, current: Head, candidate: Head, level: float = 0.05) -> tuple[float, float, float]:
        """Gain in macro-F1 and its one-sided bounds at a level, articles resampled, both heads on the same draws."""
        truth = self.data.labels.numpy()
        said = [head.logits(self.data.embeddings).argmax(1).numpy() for head in (current, candidate)]
        topics = len(current.bias)
        drawn = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES // 10, len(truth)))
        gains = [_macro_f1(truth[rows], said[1][rows], topics) - _macro_f1(truth[rows], said[0][rows], topics)
                 for rows in drawn]  # fmt: skip
        own = _macro_f1(truth, said[1], topics) - _macro_f1(truth, said[0], topics)
        low, high = np.quantile(gains, [level, 1 - level])
        return own, float(low), float(high)


def _macro_f1(truth: Int[np.ndarray, " n"], said: Int[np.ndarray, " n"], topics: int) -> float:
    counts = np.bincount(truth * topics + said, minlength=topics * topics).reshape(topics, topics)
    there = counts.sum(1) > 0
    f1 = 2 * np.diag(counts) / np.maximum(counts.sum(0) + counts.sum(1), 1)
    return float(f1[there].mean())


@dataclass(frozen=True)
class Decision:
    """Whether a candidate is let in, and the numbers that said so.

    Attributes:
        old: Gain on the old holdout with its bounds.
        new: Gain on the new one.
        reason: In a word: "", "loses the old", "does not gain on the new", "too few new labels".
    """

    accepted: bool
    old: tuple[float, float, float]
    new: tuple[float, float, float]
    reason: str


FEWEST = 30
MARGIN = 0.02
GAIN_LEVEL = 0.01
"""Chance that an update which gains nothing is let in; at 0.05 one of twenty with shuffled labels was."""


def gate(current: Head, candidate: Head, old: Holdout, new: Holdout, margin: float = MARGIN) -> Decision:
    """Let a candidate in if it gains on the new holdout (at 99 %) and loses less than the margin on the old (at 95 %).

    Args:
        margin: Macro-F1 that may be lost on the past, at most.
    """
    on_old = old.macro_f1_gain(current, candidate)
    if len(new.data.labels) < FEWEST:
        return Decision(False, on_old, (0.0, 0.0, 0.0), "too few new labels")
    on_new = new.macro_f1_gain(current, candidate, GAIN_LEVEL)
    reason = "loses the old" if on_old[1] < -margin else "does not gain on the new" if on_new[1] <= 0 else ""
    return Decision(not reason, on_old, on_new, reason)


def scores_of(head: Head, data: Labelled) -> dict[str, float]:
    """Accuracy, macro-F1, balanced accuracy of a head."""
    said = head.logits(data.embeddings).argmax(1).tolist()
    return evaluate.scores(data.labels.tolist(), said, len(head.bias))
