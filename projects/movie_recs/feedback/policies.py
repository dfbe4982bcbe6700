"""How another way of choosing films would have done, from a log of what was shown: inverse propensities.

Only where the probability of what was shown was logged, and only for what the logged policy could have shown: a film
with probability 0 tells nothing.

n lines of a log
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Estimate:
    """A policy's value from somebody else's log.

    Attributes:
        value: Mean reward a line that it would have had.
        deviation: Standard error of the value.
        effective: Lines that the weights are worth, (Σw)² / Σw² (Kish): few say that the estimate stands on little.
        clipped: Share of the lines whose weight was cut.
    """

    value: float
    deviation: float
    effective: float
    clipped: float


def inverse_propensity(
    reward: Float[np.ndarray, " n"],
    logged: Float[np.ndarray, " n"],
    wanted: Float[np.ndarray, " n"],
    clip: float = np.inf,
) -> Estimate:
    """IPS: mean of reward · min(wanted / logged, clip). Unbiased without a clip; biased low, and calmer, with one.

    Args:
        reward: What came of each shown film.
        logged: Its probability under the policy that showed it, > 0.
        wanted: Its probability under the policy that is judged.

    Raises:
        ValueError: If a logged probability is not in (0, 1].

    Source: Horvitz and Thompson 1952; clipping after Bottou et al. 2013, §4.4.
    """
    weights, cut = _weights(logged, wanted, clip)
    gains = weights * reward
    spread = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("nan")
    return Estimate(float(gains.mean()), spread, _effective(weights), cut)


def self_normalised(
    reward: Float[np.ndarray, " n"],
    logged: Float[np.ndarray, " n"],
    wanted: Float[np.ndarray, " n"],
    clip: float = np.inf,
) -> Estimate:
    """SNIPS: the same sum over that of the weights; a little biased, of less variance where weights vary.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".
    """
    weights, cut = _weights(logged, wanted, clip)
    total = weights.sum()
    if total <= 0:
        return Estimate(float("nan"), float("nan"), 0.0, cut)
    value = float((weights * reward).sum() / total)
    spread = float(np.sqrt((weights**2 * (reward - value) ** 2).sum()) / total)
    return Estimate(value, spread, _effective(weights), cut)


def naive(reward: Float[np.ndarray, " n"]) -> float:
    """The mean reward of the log: the value of the policy that wrote it, which says nothing of another."""
    return float(reward.mean())


def _weights(logged: np.ndarray, wanted: np.ndarray, clip: float) -> tuple[Float[np.ndarray, " n"], float]:
    if not ((logged > 0) & (logged <= 1)).all():
        raise ValueError("a logged probability is not in (0, 1]: without it nothing can be estimated")
    weights = wanted / logged
    return np.minimum(weights, clip), float((weights > clip).mean())


def _effective(weights: np.ndarray) -> float:
    squared = float((weights**2).sum())
    return float(weights.sum() ** 2 / squared) if squared else 0.0
