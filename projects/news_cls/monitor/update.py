"""A head that learns from new labels, and the gate that it must pass before it answers anybody.

The encoder stays; what is updated is the linear head on its embeddings. An update thus takes a second, kept embeddings
stay valid, and a version is a few kilobytes.

n articles · d width · k topics
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from projects.news_cls import evaluate
from projects.news_cls.monitor.versions import Head
from shared.seeding import generator
from shared.study import RESAMPLES

Mode = Literal["alone", "replay", "retrained"]
MODES: tuple[Mode, ...] = ("alone", "replay", "retrained")
STEPS, RATE, DECAY = 200, 0.01, 1e-3


@dataclass(frozen=True)
class Labelled:
    """Embeddings with their topics."""

    embeddings: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]

    def __add__(self, other: "Labelled") -> "Labelled":
        return Labelled(torch.cat([self.embeddings, other.embeddings]), torch.cat([self.labels, other.labels]))

    def drawn(self, count: int, seed: int) -> "Labelled":
        """So many of them, or all."""
        rows = torch.randperm(len(self.labels), generator=generator(seed, 3))[:count]
        return Labelled(self.embeddings[rows], self.labels[rows])


def fit_head(start: Head, data: Labelled, weights: Float[Tensor, " n"] | None = None) -> Head:
    """Full-batch AdamW from a head; weights of articles, by default equal."""
    weight = start.weight.clone().requires_grad_(True)
    bias = start.bias.clone().requires_grad_(True)
    each = torch.ones(len(data.labels)) if weights is None else weights
    optimizer = torch.optim.AdamW([weight, bias], lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        losses = cross_entropy(data.embeddings @ weight.T + bias, data.labels, reduction="none")
        optimizer.zero_grad()
        ((losses * each).sum() / each.sum()).backward()
        optimizer.step()
    return Head(weight.detach(), bias.detach())


def updated(current: Head, new: Labelled, old: Labelled, mode: Mode, seed: int) -> Head:
    """The head after new labels.

    Args:
        current: The head that answers now.
        new: What people said since.
        old: What the current head was trained on.
        mode: "alone" goes on with the new labels only, and forgets; "replay" mixes as many old articles with them, so
            that either half counts the same; "retrained" begins from zero with everything.
        seed: Which old articles are replayed.
    """
    if mode == "alone":
        return fit_head(current, new)
    if mode == "replay":
        replayed = old.drawn(max(200, len(new.labels)), seed)
        each = torch.cat([torch.full((len(part.labels),), 1 / len(part.labels)) for part in (new, replayed)])
        return fit_head(current, new + replayed, each)
    zero = Head(torch.zeros_like(current.weight), torch.zeros_like(current.bias))
    return fit_head(zero, new + old)


# ---------------------------------------------------------------- the gate


@dataclass(frozen=True)
class Holdout:
    """Articles that no update learns from: those of the past, or a share of the new labels."""

    data: Labelled

    def macro_f1_gain(self, current: Head, candidate: Head) -> tuple[float, float, float]:
        """Gain in macro-F1 and its one-sided 95 % bounds, articles resampled, both heads on the same draws."""
        truth = self.data.labels.numpy()
        said = [head.logits(self.data.embeddings).argmax(1).numpy() for head in (current, candidate)]
        topics = len(current.bias)
        drawn = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES // 10, len(truth)))
        gains = [_macro_f1(truth[rows], said[1][rows], topics) - _macro_f1(truth[rows], said[0][rows], topics)
                 for rows in drawn]  # fmt: skip
        own = _macro_f1(truth, said[1], topics) - _macro_f1(truth, said[0], topics)
        low, high = np.percentile(gains, [5, 95])
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


def gate(current: Head, candidate: Head, old: Holdout, new: Holdout, margin: float = MARGIN) -> Decision:
    """Let a candidate in if it gains on the new holdout and loses less than the margin on the old, by their bounds.

    Args:
        margin: Macro-F1 that may be lost on the past, at most.
    """
    on_old = old.macro_f1_gain(current, candidate)
    if len(new.data.labels) < FEWEST:
        return Decision(False, on_old, (0.0, 0.0, 0.0), "too few new labels")
    on_new = new.macro_f1_gain(current, candidate)
    reason = "loses the old" if on_old[1] < -margin else "does not gain on the new" if on_new[1] <= 0 else ""
    return Decision(not reason, on_old, on_new, reason)


def scores_of(head: Head, data: Labelled) -> dict[str, float]:
    """Accuracy, macro-F1, balanced accuracy of a head."""
    said = head.logits(data.embeddings).argmax(1).tolist()
    return evaluate.scores(data.labels.tolist(), said, len(head.bias))
