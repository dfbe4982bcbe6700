"""A detector that is trained in a second, and a series for it."""

import numpy as np
import pytest

from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.data.series import Series
from projects.ts_anomaly.train import fit


def wave(n, seed=0, channels=1):
    random = np.random.default_rng(seed)
    steps = np.arange(n)[:, None] + 7 * np.arange(channels)[None, :]
    return np.sin(2 * np.pi * steps / 20) + 0.1 * random.standard_normal((n, channels))


@pytest.fixture(scope="session")
def series():
    return Series("wave", wave(1400), np.zeros(1400, dtype=int), 400, 700, period=20)


@pytest.fixture(scope="session")
def trained(series):
    return fit(SMOKE, series)[0]


@pytest.fixture
def detector(trained):
    """A copy whose scale and tails a test may change."""
    import copy

    return copy.deepcopy(trained)
