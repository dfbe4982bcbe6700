"""Lists that are not ten times the same film: maximal marginal relevance.

n candidates · d width · k places
"""

import numpy as np
from jaxtyping import Float


def mmr(relevance: Float[np.ndarray, " n"], vectors: Float[np.ndarray, "n d"], k: int, trade: float) -> list[int]:
    """Places of k candidates, each the best of λ · relevance − (1 − λ) · largest cosine to those before it.

    O(k·n·d): the largest cosine is kept, and only that to the last chosen one is new. Of equal ones the first stands,
    so λ = 1 is the order of relevance. The first place is by relevance alone, whatever λ is.

    Args:
        relevance: In [0, 1], so that λ weighs like against like (`scaled`).
        vectors: Each has length 1.
        trade: λ in [0, 1].

    Source: Carbonell and Goldstein 1998, "The use of MMR".
    """
    chosen: list[int] = []
    nearest = np.full(len(relevance), -np.inf)
    free = np.ones(len(relevance), bool)
    for _ in range(min(k, len(relevance))):
        value = relevance if not chosen else trade * relevance - (1 - trade) * nearest
        best = int(np.argmax(np.where(free, value, -np.inf)))
        chosen.append(best)
        free[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return chosen


def scaled(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Scores moved and stretched to [0, 1]; equal ones become 1."""
    low, high = float(scores.min()), float(scores.max())
    stretched: Float[np.ndarray, " n"] = (scores - low) / (high - low) if high > low else np.ones_like(scores)
    return stretched
