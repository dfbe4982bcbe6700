"""How rare a score is on normal data: the empirical tail, and beyond the largest scores a generalised Pareto one."""

# m calibration scores · n points

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

MOST_KEPT = 2048  # ranks of the empirical part
FEWEST_PEAKS = 10


def fit_pareto(excesses: Float[np.ndarray, " k"]) -> tuple[float, float]:
    """Shape γ and scale σ of a generalised Pareto distribution, by maximum likelihood.

    The two are reduced to one, θ = γ / σ, as Grimshaw 1993 does; here it is found on a grid, finer around its best.
    γ is held in −0.5 to 1: outside, likelihood or mean do not exist.
    """
    mean, largest = float(excesses.mean()), float(excesses.max())
    if largest <= 0:
        return 0.0, 1e-12
    grid = np.concatenate([-np.geomspace(1e-4, 1 - 1e-6, 200) / largest, np.geomspace(1e-4, 1e3, 300) / mean])
    best, likelihood = (0.0, mean), -len(excesses) * (np.log(mean) + 1)
    for _ in range(3):
        shapes = np.log1p(grid[:, None] * excesses[None, :]).mean(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihoods = -len(excesses) * (np.log(shapes / grid) + 1 + shapes)
        likelihoods[~np.isfinite(likelihoods) | (shapes < -0.5) | (shapes > 1)] = -np.inf
        place = int(likelihoods.argmax())
        if likelihoods[place] > likelihood:
            best, likelihood = (float(shapes[place]), float(shapes[place] / grid[place])), float(likelihoods[place])
        if not np.isfinite(likelihoods[place]):
            break
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        grid = np.linspace(low, high, 100)
        grid = grid[grid != 0]
    return best


@dataclass(frozen=True)
class Tail:
    """The upper tail of a score on normal data.

    Attributes:
        ranks: Sorted calibration scores (at most MOST_KEPT of them, evenly spaced).
        threshold: From here on the Pareto tail holds.
        share: Part of the calibration scores above it.
        shape: γ; at least 0 where `fit` made it.
        scale: σ.
    """

    ranks: Float[np.ndarray, " k"]
    threshold: float
    share: float
    shape: float
    scale: float

    @classmethod
    def fit(cls, scores: Float[np.ndarray, " m"], level: float = 0.95) -> "Tail":
        """From scores of normal data; the Pareto part begins at this quantile, and has at least FEWEST_PEAKS scores."""
        ordered = np.sort(scores[np.isfinite(scores)])
        assert len(ordered) > FEWEST_PEAKS, "a tail needs more than a handful of scores"
        threshold = float(min(np.quantile(ordered, level), ordered[-FEWEST_PEAKS]))
        excesses = ordered[ordered > threshold] - threshold
        shape, scale = fit_pareto(excesses) if len(excesses) else (0.0, 1e-12)
        if shape < 0:  # a bounded tail would call all beyond its end equally surprising
            shape, scale = 0.0, max(float(excesses.mean()), 1e-12)
        kept = ordered[np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_KEPT)).astype(int)]
        return cls(kept, threshold, max(len(excesses), 1) / (len(ordered) + 1), shape, scale)

    def surprise(self, scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """−log₁₀ of the chance that a normal score is as large; NaN stays NaN."""
        rank = np.searchsorted(self.ranks, scores, side="left")
        chance = (len(self.ranks) - rank + 1) / (len(self.ranks) + 1)
        body = -np.log10(np.maximum(chance, self.share))
        with np.errstate(invalid="ignore"):
            excess = np.maximum(scores - self.threshold, 0) / self.scale
        grown = np.log10(1 + self.shape * excess) / (self.shape or 1.0)
        beyond = excess / np.log(10) if abs(self.shape) < 1e-6 else grown
        found = np.where(scores > self.threshold, -np.log10(self.share) + beyond, body)
        return np.where(np.isnan(scores), np.nan, found)

    def quantile(self, chance: float) -> float:
        """The score that normal data exceed with this chance (Siffer et al. 2017, eq. 1)."""
        if chance >= self.share:
            return float(np.quantile(self.ranks, 1 - chance))
        ratio = chance / self.share
        if abs(self.shape) < 1e-6:
            return self.threshold - self.scale * float(np.log(ratio))
        return self.threshold + self.scale / self.shape * (ratio**-self.shape - 1)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "ranks": self.ranks.tolist()}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Tail":
        """Undo of `as_json`."""
        return cls(**{**told, "ranks": np.array(told["ranks"], dtype=float)})
