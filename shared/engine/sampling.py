"""How a token is chosen from the logits: pure functions, in the order in which `choose` applies them.

v vocabulary
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from shared.errors import UserError

Logits = Float[np.ndarray, " v"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a request asks for; the default is greedy."""

    temperature: float = 0.0
    """Divisor of the logits; 0 takes the most probable token."""
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the most probable tokens that together hold this probability, in (0, 1]."""
    repetition_penalty: float = 1.0
    """Above 1, tokens of prompt and answer become less probable."""
    seed: int = 0
    """Fixes this request's draws: the same request gives the same answer."""

    def __post_init__(self) -> None:
        checks = {
            "temperature must be a number of at least 0": 0 <= self.temperature < np.inf,
            "top_k must be at least 0": self.top_k >= 0,
            "top_p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "repetition_penalty must be a number above 0": 0 < self.repetition_penalty < np.inf,
            "seed must be at least 0": self.seed >= 0,
        }
        for message, holds in checks.items():
            if not holds:  # NaN fails every comparison, and so its check
                raise UserError(message)


def choose(logits: Logits, seen: Int[np.ndarray, " n"], sampling: Sampling, rng: np.random.Generator) -> int:
    """The next token.

    Args:
        logits: Those of the last position.
        seen: Tokens of prompt and answer so far.
        sampling: What to do with them.
        rng: Drawn from once, unless greedy.

    Raises:
        ValueError: If a logit is NaN, or none is finite.
    """
    if np.isnan(logits).any() or not np.isfinite(logits).any():
        raise ValueError("the logits hold NaN, or nothing that can be chosen")
    logits = penalize_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits = keep_top_p(keep_top_k(logits / sampling.temperature, sampling.top_k), sampling.top_p)
    return draw(softmax(logits), rng)


def penalize_repetition(logits: Logits, seen: Int[np.ndarray, " n"], penalty: float) -> Logits:
    """Logits of the tokens that were seen, divided by the penalty where positive and multiplied where negative.

    Source: Keskar et al. 2019, §4.1, with the sign handled as in transformers.
    """
    if penalty == 1:
        return logits
    result, of_seen = logits.copy(), logits[seen]
    result[seen] = np.where(of_seen < 0, of_seen * penalty, of_seen / penalty)
    return result


def keep_top_k(logits: Logits, k: int) -> Logits:
    """The k largest logits and their equals; the others become −∞. 0 keeps all (Fan et al. 2018, §5.4)."""
    if not 0 < k < len(logits):
        return logits
    return np.where(logits >= np.partition(logits, -k)[-k], logits, -np.inf)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """The fewest most probable tokens whose probabilities reach p, and the equals of the last; the others become −∞.

    Source: Holtzman et al. 2020, §3.1.
    """
    if p >= 1:
        return logits
    descending = np.sort(logits[np.isfinite(logits)])[::-1]
    count = int(np.searchsorted(np.cumsum(softmax(descending)), p))  # tokens before the one with which p is reached
    return np.where(logits >= descending[min(count, len(descending) - 1)], logits, -np.inf)


def softmax(logits: Logits) -> Float[np.ndarray, " v"]:
    """Probabilities, in float64 so that 49,152 of them sum to 1."""
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def draw(probabilities: Float[np.ndarray, " v"], rng: np.random.Generator) -> int:
    """A token drawn by inverting the cumulative distribution at one uniform number; never one of probability 0."""
    cumulative = np.cumsum(probabilities)
    drawn = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
    return min(drawn, int(np.flatnonzero(probabilities)[-1]))
