"""Labels for articles that have none: a classifier names those of which it is surest, learns from them, and goes on.

News without labels cost nothing; with ten labels a topic there are a hundred times as many of them. Source: Yarowsky
1995, "Unsupervised word sense disambiguation rivaling supervised methods"; an equal share of every topic is taken, as
in Zou et al. 2018, "Unsupervised domain adaptation via class-balanced self-training", §4.

n articles · k topics
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

ROUNDS = 5
FIRST, MORE = 0.5, 0.1
"""Share of each topic's articles that is taken in the first round, and how much more in each one after it."""

Fit = Callable[[Int[np.ndarray, " m"], Int[np.ndarray, " m"]], Float[np.ndarray, "n k"]]
"""(rows of the unlabelled, topics that they are taken to have) → logits of all unlabelled, by what was learned then."""


@dataclass(frozen=True)
class Pseudo:
    """Articles that were taken to be of a topic."""

    rows: Int[np.ndarray, " m"]
    topics: Int[np.ndarray, " m"]


def surest(logits: Float[np.ndarray, "n k"], share: float) -> Pseudo:
    """The surest share of the articles that are said to be of each topic, by margin over the second topic."""
    said = logits.argmax(1)
    two = np.sort(logits, axis=1)
    margin = two[:, -1] - two[:, -2]
    chosen = []
    for topic in np.unique(said):
        rows = np.flatnonzero(said == topic)
        chosen.append(rows[np.argsort(-margin[rows], kind="stable")[: max(1, int(len(rows) * share))]])
    rows = np.sort(np.concatenate(chosen))
    return Pseudo(rows, said[rows])


def self_train(fit: Fit, rounds: int = ROUNDS) -> Pseudo:
    """What is taken in the last round.

    Args:
        fit: Learns from labelled articles and these; the first call has none.
        rounds: Times that it learns anew.
    """
    nothing = np.zeros(0, dtype=np.int64)
    logits = fit(nothing, nothing)
    taken = Pseudo(nothing, nothing)
    for number in range(rounds):
        taken = surest(logits, min(1.0, FIRST + MORE * number))
        if number < rounds - 1:
            logits = fit(taken.rows, taken.topics)
    return taken
