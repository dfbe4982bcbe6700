"""Change points of a series: the segmentation of least cost, and as a baseline none at all.

Source: Killick et al. 2012, "Optimal detection of changepoints with a linear computational cost" (PELT).
"""

# n points · c channels

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.data.clean import filled

SHORTEST = 5  # points of a segment


def standardised(values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Each channel with mean 0 and deviation 1 over the whole series: segmentation is done afterwards, not in a
    stream.
    """
    known = filled(values, 0.0)
    deviation = known.std(0)
    return (known - known.mean(0)) / np.where(deviation > 0, deviation, 1.0)


def change_points(values: Float[np.ndarray, "n c"], penalty: float = 3.0) -> list[int]:
    """First points of the segments behind the first, which minimise the cost of all plus a penalty a change.

    The cost of a segment is that of a Gaussian with a mean and a deviation of its own, a channel.

    Args:
        penalty: In units of (parameters of a segment) · ln n.
    """
    scaled = standardised(values)
    n, c = scaled.shape
    sums = np.concatenate([np.zeros((1, c)), np.cumsum(scaled, 0)])
    squares = np.concatenate([np.zeros((1, c)), np.cumsum(scaled**2, 0)])
    price = penalty * (2 * c + 1) / 2 * np.log(n)
    best, before = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=int)
    best[0], candidates = -price, np.array([0])
    for stop in range(SHORTEST, n + 1):
        lengths = (stop - candidates)[:, None]
        mean = (sums[stop] - sums[candidates]) / lengths
        variance = np.maximum((squares[stop] - squares[candidates]) / lengths - mean**2, 1e-4)
        cost = best[candidates] + (lengths * np.log(variance)).sum(1) / 2
        place = int(cost.argmin())
        best[stop], before[stop] = cost[place] + price, candidates[place]
        candidates = np.append(candidates[cost <= best[stop]], stop - SHORTEST + 1)  # the others can never win again
    found, at = [], n
    while before[at] > 0:
        at = int(before[at])
        found.append(at)
    return sorted(found)
