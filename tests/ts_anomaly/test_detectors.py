"""Every detector: a score never changes when the future does, a stream says what a batch says, and each finds its
own."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.ts_anomaly.baselines.fitted import LSTM, Forest, LinearForecast, Smoothing, SubPCA
from projects.ts_anomaly.baselines.matrix_profile import FullProfile, LeftProfile, full_profile
from projects.ts_anomaly.baselines.simple import (
    Constant,
    Difference,
    InputNorm,
    MovingDeviation,
    MovingZ,
    Random,
    SpectralResidual,
)
from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.train import fit
from tests.ts_anomaly.conftest import wave

MAKERS = {
    "random": Random,
    "constant": Constant,
    "norm": InputNorm,
    "difference": Difference,
    "moving z": MovingZ,
    "deviation": MovingDeviation,
    "stuck": lambda: MovingDeviation(stuck=True),
    "spectral": SpectralResidual,
    "left": lambda: LeftProfile(16, 64),
    "pca": lambda: SubPCA(16),
    "forest": Forest,
    "linear": LinearForecast,
    "ets": lambda: Smoothing(20),
    "lstm": lambda: LSTM(16, 8, 10),
    "masked": lambda: fit_arm("masked"),
    "association": lambda: fit_arm("association"),
    "forecast": lambda: fit_arm("forecast"),
    "contrast": lambda: fit_arm("contrast"),
}
FITTED = {}


def fit_arm(arm):
    from projects.ts_anomaly.data.series import Series

    series = Series("wave", wave(900, channels=2), np.zeros(900, dtype=int), 400, 700)
    return fit(replace(SMOKE, arm=arm), series)[0]


def fitted(name):
    if name not in FITTED:
        made = MAKERS[name]()
        FITTED[name] = (
            made if name in ("masked", "association", "forecast", "contrast") else made.fit(wave(400, channels=2))
        )
    return copy.deepcopy(FITTED[name])


def odd_values(seed, n, channels=2):
    """A wave with spikes, gaps, a flat piece and a jump, wherever they fall."""
    random, values = np.random.default_rng(seed), wave(n, seed, channels)
    values[random.integers(n, size=3)] += 8
    values[random.integers(n, size=6), random.integers(channels, size=6)] = np.nan
    start = int(random.integers(n))
    values[start : start + 12, 0] = values[start, 0]
    values[int(random.integers(n)) :, 1] += 3
    return values


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(90, 200), cut=st.integers(1, 199))
def test_no_score_changes_when_the_future_does(name, seed, n, cut):
    detector, values = fitted(name), odd_values(seed, n)
    cut = min(cut, n - 1)
    changed = values.copy()
    changed[cut:] = 5 - 3 * np.nan_to_num(changed[cut:])
    one, other, short = (detector.score(each) for each in (values, changed, values[:cut]))
    np.testing.assert_allclose(one[:cut], other[:cut], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one[:cut], short, rtol=1e-4, atol=1e-5)
    assert detector.streams


@pytest.mark.parametrize("name", MAKERS)
def test_a_stream_says_what_a_batch_says(name):
    detector, values = fitted(name), odd_values(3, 150)
    batch, stream = detector.score(values), detector.stream()
    np.testing.assert_allclose([stream.push(row) for row in values], batch, rtol=1e-4, atol=1e-5)
    assert np.isfinite(batch[100:]).all()


def test_the_full_profile_knows_the_future_and_says_so():
    detector, values = FullProfile(16).fit(wave(400)), wave(200)
    changed = values.copy()
    changed[150:] = 9.0
    assert not detector.streams
    assert np.abs(detector.score(values)[:150] - detector.score(changed)[:150]).max() > 1e-3


def test_the_full_profile_is_its_definition():
    values, length = wave(80, 1)[:, 0], 8
    cut = np.lib.stride_tricks.sliding_window_view(values, length)
    z = (cut - cut.mean(1, keepdims=True)) / cut.std(1, keepdims=True)
    distance = np.linalg.norm(z[:, None] - z[None, :], axis=2)
    for i in range(len(cut)):
        distance[i, max(0, i - 1) : i + 2] = np.inf
    np.testing.assert_allclose(full_profile(values, length), distance.min(1) / np.sqrt(length), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "at"), [("norm", 120), ("difference", 120), ("moving z", 120), ("linear", 120), ("pca", 120)]
)
def test_a_spike_has_its_largest_score_at_its_own_index(name, at):
    values = wave(200, 5)
    values[at] += 10
    detector = MAKERS[name]().fit(wave(400))
    assert int(np.nanargmax(detector.score(values)[: at + 1])) == at


def test_gaps_are_no_zeros_and_all_gaps_have_no_score():
    values = wave(200, 5) + 50
    detector = InputNorm().fit(values)
    values[100] = np.nan
    assert detector.score(values)[100] == 0.0
    assert detector.score(np.where(np.isnan(values), 0.0, values))[100] > 5


def test_smoothing_goes_on_as_statsmodels_does():
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    values = wave(300, 2)
    detector = Smoothing(20).fit(values[:200])
    scaled = detector.scaler(values)[:, 0]
    found = detector.score(values[200:])
    model = ETSModel(scaled.copy(), error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=20)
    start = ETSModel(
        scaled[:200].copy(), error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=20
    )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        params = start.fit(disp=False).params
        errors = np.abs(model.smooth(params).resid)
    np.testing.assert_allclose(found, errors[200:], atol=1e-6)
