"""Baselines that learn from windows: principal components, isolation forest, linear forecast, seasonal smoothing,
LSTM.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from sklearn.ensemble import IsolationForest
from torch import nn

from projects.ts_anomaly.detector import Channelwise, Stream, from_windows, windows
from shared.seeding import generator


@dataclass(frozen=True)
class Components:
    """Mean, directions and variances of windows."""

    mean: Float[np.ndarray, " length"]
    directions: Float[np.ndarray, "length k"]
    variances: Float[np.ndarray, " k"]


class SubPCA(Channelwise):
    """Windows in the directions of the prefix's windows, each divided by its variance there.

    Small directions count most: there normal windows hardly move. Source: Aggarwal 2017, "Outlier Analysis", §3.3, the
    score that leads TSB-AD's univariate table.
    """

    name = "Sub-PCA"

    def __init__(self, length: int = 32, *, mean: bool = False) -> None:
        """With `mean` a point gets the mean of the windows that hold it (and waits for them)."""
        self.length, self.mean, self.context = length, mean, length - 1
        self.streams = not mean  # type: ignore[misc]

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> Components:
        """Eigenvectors of the covariance of windows."""
        cut = windows(prefix, self.length)
        variances, directions = np.linalg.eigh(np.cov(cut.T))
        return Components(cut.mean(0), directions, np.maximum(variances, 1e-6 * variances[-1] + 1e-12))

    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """Squared Mahalanobis distance of the window that ends at each point."""
        assert isinstance(fitted, Components)
        if len(values) < self.length:
            return np.full(len(values), np.nan)
        projected = (windows(values, self.length) - fitted.mean) @ fitted.directions
        each = (projected**2 / fitted.variances).sum(1)
        if not self.mean:
            return from_windows(each, len(values))
        return np.convolve(each, np.ones(self.length)) / np.convolve(np.ones(len(each)), np.ones(self.length))


class Forest(Channelwise):
    """Isolation forest on windows. Source: Liu et al. 2008, "Isolation forest", ICDM."""

    name = "isolation forest"

    def __init__(self, length: int = 16, seed: int = 0) -> None:
        self.length, self.seed, self.context = length, seed, length - 1

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> IsolationForest:
        """100 trees."""
        return IsolationForest(n_estimators=100, random_state=self.seed).fit(windows(prefix, self.length))

    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """How soon the window that ends at each point is alone."""
        if len(values) < self.length:
            return np.full(len(values), np.nan)
        return from_windows(-fitted.score_samples(windows(values, self.length)), len(values))  # type: ignore[attr-defined]


class LinearForecast(Channelwise):
    """Error of a ridge regression on the points before."""

    name = "linear forecast"

    def __init__(self, length: int = 32, penalty: float = 1.0) -> None:
        self.context, self.penalty = length, penalty

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> Float[np.ndarray, " k"]:
        """Weights of the points before, and a constant."""
        x, y = windows(prefix, self.context)[:-1], prefix[self.context :]
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        return np.linalg.solve(x.T @ x + self.penalty * np.eye(x.shape[1]), x.T @ y)

    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|x_t − forecast|."""
        assert isinstance(fitted, np.ndarray)
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        forecast = windows(values, self.context)[:-1] @ fitted[:-1] + fitted[-1]
        return from_windows(np.abs(values[self.context :] - forecast), len(values))


class Smoothing(Channelwise):
    """Error of exponential smoothing: level and damped trend, and a season if there is a short one.

    Its rates are statsmodels' estimates; what follows the prefix is smoothed from the state at its end on, in batch: it
    holds everything since, so that no context bounds it, and it has a stream of its own.
    """

    name = "ETS"
    longest = 24

    def __init__(self, period: int = 0) -> None:
        self.period = period if 1 < period <= self.longest else 0

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> "_Smoother":
        """Maximum likelihood."""
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel

        seasonal = {"seasonal": "add", "seasonal_periods": self.period} if self.period else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge shows in its error, which is the result
            found = ETSModel(prefix.copy(), error="add", trend="add", damped_trend=True, **seasonal).fit(disp=False)
        rates = dict(zip(found.model.param_names, found.params, strict=True))
        states = np.asarray(found.states)
        return _Smoother(
            rates["smoothing_level"],
            rates["smoothing_trend"],
            rates.get("smoothing_seasonal", 0.0),
            rates["damping_trend"],
            float(states[-1, 0]),
            float(states[-1, 1]),
            states[: -1 - self.period : -1, 2].copy() if self.period else np.zeros(1),
        )

    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|x_t − one-step forecast|."""
        assert isinstance(fitted, _Smoother)
        smoother = replace(fitted)
        return np.array([smoother.push(float(value)) for value in values])

    def stream(self) -> Stream:
        """State of each channel, from the prefix's end on."""
        return _Smoothed(self)


@dataclass
class _Smoother:
    """Additive errors: Hyndman et al. 2008, "Forecasting with exponential smoothing", §2.5. Season: newest first."""

    level_rate: float
    trend_rate: float
    season_rate: float
    damping: float
    level: float
    trend: float
    season: Float[np.ndarray, " p"]

    def push(self, value: float) -> float:
        """Absolute error of the forecast; then the state takes it in."""
        error = value - (self.level + self.damping * self.trend + self.season[-1])
        self.level += self.damping * self.trend + self.level_rate * error
        self.trend = self.damping * self.trend + self.trend_rate * error
        self.season = np.concatenate([[self.season[-1] + self.season_rate * error], self.season[:-1]])
        return abs(error)


class _Smoothed:
    def __init__(self, detector: Smoothing) -> None:
        self._scaler = detector.scaler
        self._smoothers = [replace(each) for each in detector.channels if isinstance(each, _Smoother)]
        self._last = np.zeros(len(self._smoothers))

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        scaled = self._scaler(np.asarray(values, dtype=float)[None])[0]
        self._last = np.where(np.isnan(scaled), self._last, scaled)
        errors = [each.push(float(value)) for each, value in zip(self._smoothers, self._last, strict=True)]
        known = [error for error, value in zip(errors, scaled, strict=True) if not np.isnan(value)]
        return max(known, default=0.0)


class _LSTM(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(1, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forecast of the point behind each window, (b, t) -> (b,)."""
        return self.head(self.cells(x[:, :, None])[0][:, -1])[:, 0]


class LSTM(Channelwise):
    """Error of a small recurrent forecast. Source: Malhotra et al. 2015, "LSTM networks for anomaly detection"."""

    name = "LSTM"

    def __init__(self, length: int = 32, width: int = 32, steps: int = 300, seed: int = 0) -> None:
        self.context, self.width, self.steps, self.seed = length, width, steps, seed

    def fit_channel(self, prefix: Float[np.ndarray, " m"]) -> _LSTM:
        """Adam on squared errors of random windows."""
        torch.manual_seed(self.seed)
        model, draws = _LSTM(self.width), generator(self.seed)
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        data = torch.tensor(windows(prefix, self.context + 1).copy(), dtype=torch.float32)
        for _ in range(self.steps):
            batch = data[torch.randint(len(data), (64,), generator=draws)]
            optimizer.zero_grad()
            (model(batch[:, :-1]) - batch[:, -1]).square().mean().backward()
            optimizer.step()
        return model.eval()

    @torch.no_grad()
    def score_channel(self, values: Float[np.ndarray, " n"], fitted: object) -> Float[np.ndarray, " n"]:
        """|x_t − forecast|."""
        assert isinstance(fitted, _LSTM)
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        cut = torch.tensor(windows(values, self.context + 1).copy(), dtype=torch.float32)
        errors = torch.cat([(fitted(each[:, :-1]) - each[:, -1]).abs() for each in cut.split(4096)])
        return from_windows(errors.double().numpy(), len(values))
