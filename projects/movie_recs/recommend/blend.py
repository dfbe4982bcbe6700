"""Several scores of one film made one: each put on the scale of its own user, then a weighted sum.

u users · i films · p parts
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.sparse import csr_matrix

from projects.movie_recs.recommend.collaborative import Scores

STEPS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Weights that are tried for each part beside the first, whose weight is 1."""
ROUNDS = 2


def standardised(scores: Scores, barred: csr_matrix | None = None) -> Scores:
    """Mean 0 and deviation 1 over the films that a user may be shown; a user whose scores are all equal gets 0.

    Args:
        barred: Nonzero where a film cannot be shown; its score is set on the same scale but does not decide it.
    """
    scores = np.asarray(scores, np.float64)
    free = np.ones(scores.shape, bool)
    if barred is not None:
        free[barred.nonzero()] = False
    counts = np.maximum(free.sum(1, keepdims=True), 1)
    mean = np.where(free, scores, 0).sum(1, keepdims=True) / counts
    spread = np.sqrt(np.where(free, (scores - mean) ** 2, 0).sum(1, keepdims=True) / counts)
    flat = spread < 1e-12
    return np.where(flat, 0.0, (scores - mean) / np.where(flat, 1, spread))


def blended(parts: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """Σ weight · part, over the parts that have a weight."""
    total = np.zeros(next(iter(parts.values())).shape)
    for name, weight in weights.items():
        if weight:
            total += weight * parts[name]
    return total


def learned_weights(parts: Mapping[str, Scores], quality: Callable[[Scores], float]) -> dict[str, float]:
    """Weights by coordinate ascent on validation: the first part has 1, each other one the best of STEPS, twice round.

    Of equal qualities the smaller weight stays. With p parts ROUNDS · (p − 1) · len(STEPS) candidates are tried.
    """
    first, *rest = parts
    weights = {first: 1.0, **dict.fromkeys(rest, 0.0)}
    for _ in range(ROUNDS):
        for name in rest:
            others = blended(parts, {**weights, name: 0.0})
            found = [(quality(others + step * parts[name]), -step) for step in STEPS]
            weights[name] = -max(found)[1]
    return weights
