"""Distance of each stretch to its nearest neighbour: with all others, or only with those before it.

Source: Yeh et al. 2016, "Matrix profile I", ICDM; of its past alone, Lu et al. 2022, "DAMP", KDD.
"""

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from projects.ts_anomaly.detector import Channelwise, from_windows, windows

BLOCK = 512  # windows compared at once
FLAT = 1e-6  # deviation below which a stretch is flat


class LeftProfile(Channelwise):
    """Distance to the nearest stretch of the prefix and of the last points before it."""

    name = "matrix profile, left"

    def __init__(self, length: int = 64, history: int = 1024) -> None:
        self.length, self.context = length, history + length - 1

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> Float[np.ndarray, "w length"]:
        """Normalised stretches of the prefix."""
        return normalised(windows(prefix, self.length))

    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """Distances of stretches that end at each point; neighbours end at least a length before it."""
        assert isinstance(fitted, np.ndarray)
        if len(values) < self.length:
            return np.full(len(values), np.nan)
        own = normalised(windows(values, self.length))
        best = np.concatenate([(own[at : at + BLOCK] @ fitted.T).max(1) for at in range(0, len(own), BLOCK)])
        history = self.context - self.length + 1
        for at in range(0, len(own), BLOCK):
            stop, first = min(at + BLOCK, len(own)), max(0, at - history)
            products = own[at:stop] @ own[first:stop].T
            gap = np.arange(at, stop)[:, None] - np.arange(first, stop)[None, :]
            products[(gap < self.length) | (gap > history)] = -np.inf
            best[at:stop] = np.maximum(best[at:stop], products.max(1))
        return from_windows(np.sqrt(np.maximum(2 - 2 * best, 0)), len(values))


class FullProfile(Channelwise):
    """Distance to the nearest stretch before or after: it knows the future, and is no detector of a stream."""

    name = "matrix profile, full"
    streams = False

    def __init__(self, length: int = 64) -> None:
        self.length, self.context = length, length - 1

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """Mean over the stretches that hold a point."""
        if len(values) < 2 * self.length:
            return np.full(len(values), np.nan)
        distances = full_profile(values, self.length)
        hold = np.convolve(distances, np.ones(self.length))
        return hold / np.convolve(np.ones(len(distances)), np.ones(self.length))


def full_profile(values: Float[np.ndarray, " n"], length: int) -> Float[np.ndarray, " w"]:
    """Euclidean distance of each z-normalised stretch (of unit norm) to its nearest one at least half a length away."""
    own = normalised(windows(values, length))
    best = []
    for at in range(0, len(own), BLOCK):
        products = own[at : at + BLOCK] @ own.T
        gap = np.abs(np.arange(at, at + len(products))[:, None] - np.arange(len(own))[None, :])
        products[gap < -(-length // 4)] = -np.inf
        best.append(products.max(1))
    return np.sqrt(np.maximum(2 - 2 * np.concatenate(best), 0))


def normalised(cut: Float[np.ndarray, "w length"]) -> Float[np.ndarray, "w length"]:
    """Stretches of mean 0 and norm 1; a flat one is 0 everywhere, as far from all as two that have no correlation."""
    centred = cut - cut.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = norm < FLAT * np.sqrt(cut.shape[1])
    return np.where(flat, 0.0, centred / np.where(flat, 1.0, norm))
