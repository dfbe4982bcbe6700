"""A detector that is trained in a second, and a series for it."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.data.series import Series
from projects.ts_anomaly.monitor.watch import WatchConfig, new_watch
from projects.ts_anomaly.server.settings import Settings
from projects.ts_anomaly.train import fit, main


def wave(n, seed=0, channels=1):
    random = np.random.default_rng(seed)
    steps = np.arange(n)[:, None] + 7 * np.arange(channels)[None, :]
    return np.sin(2 * np.pi * steps / 20) + 0.1 * random.standard_normal((n, channels))


def spiked(n, *steps):
    """Lines of a CSV file, a point a minute, whose values jump at these steps."""
    values = wave(n, 3)[:, 0]
    values[list(steps)] += 50
    return ["t,v", *(f"{60 * step},{value}" for step, value in enumerate(values))]


def pushed(watch, values, start=0.0, step=60.0):
    points, alerts = [], []
    for place, value in enumerate(values):
        more, told = watch.push(start + step * place, tuple(map(float, np.atleast_1d(value))))
        points += more
        alerts += told
    return points, alerts


def faulty(n=400, seed=2):
    values = wave(n, seed)[:, 0]
    values[n - 50 : n - 45] += 60
    return values.tolist()


@pytest.fixture(scope="session")
def series():
    return Series("wave", wave(1400), np.zeros(1400, dtype=int), 400, 700, period=20)


@pytest.fixture(scope="session")
def trained(series):
    return fit(SMOKE, series)[0]


@pytest.fixture
def detector(trained):
    """A copy whose scale and tails a test may change."""
    return copy.deepcopy(trained)


@pytest.fixture
def watch(detector, series):
    return new_watch(detector, series.known, series.fit, WatchConfig(chance=1e-3, interval=60.0))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A run of train, of a file of one's own."""
    folder = tmp_path_factory.mktemp("run")
    path = folder / "wave.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in wave(1500)[:, 0]))
    main(replace(SMOKE, dataset=str(path), out=folder / "run"))
    return folder / "run"


@pytest.fixture
def given_settings(tmp_path):
    return Settings(data=tmp_path / "data", warm=128, rate=100_000.0, chance=1e-4)
