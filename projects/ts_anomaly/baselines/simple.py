"""Scores that take a line each: what a Transformer must beat before anybody believes in it."""

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from projects.ts_anomaly.detector import Channelwise, Detector, Stream, from_windows, windows

TINY = 1e-3  # added to a deviation, in scaled units


class Random(Detector):
    """Noise: what a measure says of knowing nothing; exponential, so that a threshold of extreme values alarms."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @override
    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """Nothing to learn."""
        return self

    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """Draws."""
        return -np.log1p(-np.random.default_rng(self.seed).random(len(values)))

    def stream(self) -> Stream:
        """The same draws, one by one."""
        return _Draws(self.seed)


class _Draws:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        del values
        return float(-np.log1p(-self._random.random()))


class Constant(Detector):
    """The same score everywhere."""

    name = "constant"

    @override
    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """Nothing to learn."""
        return self

    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """Zeros."""
        return np.zeros(len(values))


class InputNorm(Channelwise):
    """How far a value is from the prefix's median."""

    name = "input norm"

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|z|."""
        return np.abs(values)


class Difference(Channelwise):
    """How far a value is from the one before."""

    name = "difference"
    context = 1

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|x_t − x_{t−1}|."""
        return from_windows(np.abs(np.diff(values)), len(values))


class MovingZ(Channelwise):
    """How many deviations of the last points a value is from their mean."""

    name = "moving z"

    def __init__(self, length: int = 32) -> None:
        self.context = length

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|x_t − mean| / deviation, both of the points before t."""
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        before = windows(values, self.context)[:-1]
        return from_windows(np.abs(values[self.context :] - before.mean(1)) / (before.std(1) + TINY), len(values))


class MovingDeviation(Channelwise):
    """Standard deviation of the last points, or its negative, which finds a stuck sensor and nothing else."""

    name = "moving deviation"

    def __init__(self, length: int = 5, *, stuck: bool = False) -> None:
        self.context, self.sign = length - 1, -1.0 if stuck else 1.0

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """±deviation of the last `length` points."""
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        return from_windows(self.sign * windows(values, self.context + 1).std(1), len(values))


class SpectralResidual(Channelwise):
    """Saliency of the last point of a window: what its log spectrum has beside a smooth one.

    Source: Ren et al. 2019, "Time-series anomaly detection service at Microsoft", KDD, §3, on windows that end at the
    point, with a few points estimated behind it from the slope, as they do.
    """

    name = "spectral residual"
    smooth, behind, slope_of = 3, 5, 5

    def __init__(self, length: int = 64) -> None:
        self.context = length - 1

    @override
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """Saliency against the mean of the window's."""
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        cut = windows(values, self.context + 1)
        slope = (cut[:, -1:] - cut[:, -1 - self.slope_of : -1]) / np.arange(self.slope_of, 0, -1)
        estimated = cut[:, -self.slope_of :][:, :1] + slope.mean(1, keepdims=True) * self.slope_of
        spectrum = np.fft.fft(np.concatenate([cut, np.repeat(estimated, self.behind, axis=1)], axis=1), axis=1)
        log = np.log(np.abs(spectrum) + 1e-8)
        kernel = np.ones(self.smooth) / self.smooth
        mean = np.apply_along_axis(np.convolve, 1, log, kernel, mode="same")
        saliency = np.abs(np.fft.ifft(np.exp(log - mean + 1j * np.angle(spectrum)), axis=1))[:, : cut.shape[1]]
        return from_windows(saliency[:, -1] / (saliency.mean(1) + 1e-8) - 1, len(values))


ONE_LINERS: tuple[Channelwise, ...] = (
    InputNorm(),
    Difference(),
    MovingDeviation(),
    MovingDeviation(stuck=True),
    MovingZ(),
)
"""The lines of which the best, chosen by the very labels, stands in the tables of real series as `best one-liner`."""
