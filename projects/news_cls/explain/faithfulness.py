"""Whether an explanation is true to the model: take away what it names first, and see what becomes of the topic.

Source: Petsiuk et al. 2018, "RISE", §4.2 (deletion and insertion); DeYoung et al. 2020, "ERASER" (comprehensiveness).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from projects.news_cls.explain.attributions import Encoded, Explained, encoded, masked_logits
from projects.news_cls.models.topic_model import TopicModel

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True)
class Faithful:
    """Mean probability of the topic while words go (the lower the better) and while they come (the higher)."""

    deletion: float
    insertion: float


def curves(model: TopicModel, text: str, topic: int, orders: Sequence[Sequence[int]]) -> list[Faithful]:
    """Deletion and insertion for each order of words: its first SHARES are hidden, or are all that is shown."""
    own = encoded(model, text)
    hidden: list[frozenset[int]] = []
    every = frozenset(range(len(own.words)))
    for order in orders:
        for share in SHARES:
            first = frozenset(order[: max(1, round(share * len(order)))])
            hidden += [first, every - first]
    sure = _probabilities(model, own, hidden, topic)
    width = 2 * len(SHARES)
    parts = [sure[start : start + width] for start in range(0, len(sure), width)]
    return [Faithful(float(part[::2].mean()), float(part[1::2].mean())) for part in parts]


def by_score(explained: Explained) -> list[int]:
    """Words in falling order of their attribution."""
    return sorted(range(len(explained.words)), key=lambda word: -explained.scores[word])


def random_orders(words: int, count: int, seed: int) -> list[list[int]]:
    """Orders that know nothing, against which the others are measured."""
    source = np.random.default_rng(seed)
    return [source.permutation(words).tolist() for _ in range(count)]


def _probabilities(
    model: TopicModel, own: Encoded, hidden: Sequence[frozenset[int]], topic: int, at_once: int = 16
) -> np.ndarray:
    parts = [
        masked_logits(model, own, hidden[start : start + at_once]).softmax(-1)[:, topic]
        for start in range(0, len(hidden), at_once)
    ]
    return torch.cat(parts).double().numpy()
