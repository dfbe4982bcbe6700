"""Which token comes next: the likeliest one, or one drawn from the likeliest."""

# v vocabulary

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shared.errors import UserError

GREEDY_BELOW = 1e-4  # there a difference of 0.1 between two logits is a factor of e^1000, and tiny divisors overflow


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the tokens of one row are chosen.

    Attributes:
        temperature: Divides the logits, at most 10; 0 takes the likeliest token, as does all below `GREEDY_BELOW`.
        top_p: Tokens are drawn from the fewest whose probabilities sum to at least this, in (0, 1].
        seed: Each row has a generator of its own, so that its tokens do not depend on the rows beside it.

    Raises:
        UserError: If a number is outside its range or no number.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 0 <= self.temperature <= 10:  # false for NaN too
            raise UserError(f"temperature {self.temperature}: must be a number from 0 to 10")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p {self.top_p}: must be a number above 0, at most 1")

    def sampler(self) -> "TokenSampler":
        """A sampler at the row's first token."""
        return TokenSampler(self)


class TokenSampler:
    """Chooses one row's tokens in turn; holds its generator."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def __call__(self, logits: Float[np.ndarray, " v"]) -> int:
        """The next token."""
        if self._sampling.temperature < GREEDY_BELOW:
            return int(logits.argmax())
        probs = top_p_probabilities(logits.astype(np.float64) / self._sampling.temperature, self._sampling.top_p)
        cumulative = probs.cumsum()
        return int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))


def top_p_probabilities(logits: Float[np.ndarray, " v"], top_p: float) -> Float[np.ndarray, " v"]:
    """Probabilities of the fewest tokens that sum to at least `top_p`, renormalised; 0 for the others.

    Source: Holtzman et al. 2020, §3.1.
    """
    weights = np.exp(logits - logits.max())
    probs = weights / weights.sum()
    order = np.argsort(-probs, kind="stable")
    before = probs[order].cumsum() - probs[order]  # of the likelier ones
    kept = np.zeros_like(probs)
    kept[order] = np.where(before < top_p, probs[order], 0)
    return kept / kept.sum()
