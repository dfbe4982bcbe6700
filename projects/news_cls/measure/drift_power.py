"""How often the drift tests cry wolf, and how much must change before they see it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from projects.news_cls.monitor.drift import Tested, classifier_test, confidence_test, mmd_test
from projects.news_cls.monitor.labels import diagnose, shares_test

Rows = list[dict[str, Any]]
ALPHA = 0.05
REFERENCE = 300


class Sample:
    """Articles that no classifier has seen: embeddings, topics, what is said of them and how surely."""

    def __init__(
        self,
        embeddings: Float[np.ndarray, "n d"],
        labels: Int[np.ndarray, " n"],
        probabilities: Float[np.ndarray, "n k"],
    ) -> None:
        self.embeddings, self.labels = embeddings, labels
        self.said, self.sure = probabilities.argmax(1), probabilities.max(1)
        self.topics = probabilities.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Int[np.ndarray, " m"]) -> "Sample":
        """Some of them."""
        own = object.__new__(Sample)
        own.embeddings, own.labels = self.embeddings[rows], self.labels[rows]
        own.said, own.sure, own.topics = self.said[rows], self.sure[rows], self.topics
        return own

    def __add__(self, other: "Sample") -> "Sample":
        own = object.__new__(Sample)
        for name in ("embeddings", "labels", "said", "sure"):
            setattr(own, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        own.topics = self.topics
        return own


Test = Callable[[Sample, Sample, int], Tested]
TESTS: dict[str, Test] = {
    "classifier": lambda old, new, seed: classifier_test(old.embeddings, new.embeddings, seed),
    "MMD": lambda old, new, seed: mmd_test(old.embeddings, new.embeddings, seed),
    "predicted topics": lambda old, new, _: shares_test(old.said, new.said, old.topics),
    "confidence": lambda old, new, _: confidence_test(old.sure, new.sure),
}


def false_alarms(own: Sample, sizes: Sequence[int], draws: int) -> Rows:
    """Share of alarms where reference and batch are drawn from one pool, without drift, by test and batch size."""
    rows: Rows = []
    for size in sizes:
        alarms = dict.fromkeys(TESTS, 0) | {"diagnosis": 0}
        for draw in range(draws):
            old, new = halves(own, size, draw)
            for name, test in TESTS.items():
                alarms[name] += test(old, new, draw).alarm(ALPHA)
            alarms["diagnosis"] += diagnosed(old, new, draw) != "none"
        for name, count in alarms.items():
            low, high = wilson(count, draws)
            rows.append({"test": name, "batch": size, "draws": draws, "alarms": count, "rate": count / draws,
                         "low": round(low, 4), "high": round(high, 4)})  # fmt: skip
    return rows


def diagnosed(old: Sample, new: Sample, seed: int) -> str:
    """What `monitor.labels.diagnose` says."""
    found = diagnose(
        old.embeddings, old.labels, old.said, new.embeddings, new.said, topics=old.topics, seed=seed, alpha=ALPHA
    )
    return found.verdict


def halves(own: Sample, size: int, seed: int) -> tuple[Sample, Sample]:
    """A reference and a batch without a common article."""
    order = np.random.default_rng([seed, 4]).permutation(len(own))
    return own.take(order[size : size + REFERENCE]), own.take(order[:size])


def shifted(own: Sample, other: Sample, kind: str, strength: float, size: int, seed: int) -> tuple[Sample, Sample]:
    """A reference, and a batch of which a share is another topic's, another source's, or drawn towards one topic.

    Args:
        own: What the reference comes from.
        other: Articles of the other kind ("source", "topic"); not asked for "label".
        strength: That share, in [0, 1].
    """
    source = np.random.default_rng([seed, 5])
    order = source.permutation(len(own))
    old, rest = own.take(order[:REFERENCE]), own.take(order[REFERENCE:])
    if kind == "label":
        favoured = int(source.integers(own.topics))
        chance = (1 - strength) / len(rest) + strength * (rest.labels == favoured) / max(
            1, (rest.labels == favoured).sum()
        )
        return old, rest.take(source.choice(len(rest), size, replace=False, p=chance / chance.sum()))
    count = round(strength * size)
    strange = other.take(source.choice(len(other), count, replace=False))
    return old, rest.take(source.choice(len(rest), size - count, replace=False)) + strange


def power(own: Sample, other: Sample, kind: str, strengths: Sequence[float], size: int, draws: int) -> Rows:
    """Share of alarms by strength of a shift, and what the diagnosis calls it."""
    rows: Rows = []
    for strength in strengths:
        alarms = dict.fromkeys(TESTS, 0)
        verdicts = {"none": 0, "label shift": 0, "input drift": 0}
        for draw in range(draws):
            old, new = shifted(own, other, kind, strength, size, draw)
            for name, test in TESTS.items():
                alarms[name] += test(old, new, draw).alarm(ALPHA)
            verdicts[diagnosed(old, new, draw)] += 1
        row: dict[str, Any] = {"shift": kind, "strength": strength, "batch": size, "draws": draws}
        row |= {name.replace(" ", "_").lower(): count / draws for name, count in alarms.items()}
        rows.append(row | {f"said_{name.replace(' ', '_')}": count / draws for name, count in verdicts.items()})
    return rows


def wilson(hits: int, draws: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927."""
    z, share = 1.959964, hits / draws
    middle = (share + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z * (share * (1 - share) / draws + z * z / (4 * draws * draws)) ** 0.5 / (1 + z * z / draws)
    return middle - half, middle + half
