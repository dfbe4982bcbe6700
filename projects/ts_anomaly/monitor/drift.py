"""When to fit again: if what is normal has moved for long, and not while something is wrong."""

# m reference points · k recent points

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_ALARMS = 0.1  # share of recent points: more are an incident, not a new normal


def distance(one: Float[np.ndarray, " m"], other: Float[np.ndarray, " k"]) -> float:
    """Largest difference of two empirical distributions (Kolmogorov–Smirnov); 0 if either is empty."""
    one, other = np.sort(one[np.isfinite(one)]), np.sort(other[np.isfinite(other)])
    if not len(one) or not len(other):
        return 0.0
    every = np.concatenate([one, other])
    shares = [np.searchsorted(each, every, side="right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@dataclass(frozen=True)
class DriftGate:
    """Opens if recent scores are distributed unlike those of the calibration, and few of them are alarms.

    Scores of neighbours depend on each other, so that a p-value would say too much: the distance itself decides.

    Attributes:
        reference: Scores of the calibration.
        least: Distance from which on it opens.
    """

    reference: Float[np.ndarray, " m"]
    least: float = 0.2

    def opens(self, recent: Float[np.ndarray, " k"], alarms: float, *, lasting: bool = False) -> bool:
        """Whether to fit again.

        Args:
            recent: Scores of the last points, alarms included.
            alarms: Share of them that were alarms.
            lasting: Whether there were as many all through the memory: what lasts that long is the new normal.
        """
        return (lasting or alarms <= MOST_ALARMS) and distance(self.reference, recent) >= self.least
