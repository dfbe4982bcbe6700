"""When what is normal has moved: the gate, new fits, and what stops them."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.data.clean import Scaler
from projects.ts_anomaly.models.detectors import PatchTransformer, combined, new_model
from projects.ts_anomaly.monitor.drift import MOST_ALARMS, DriftGate, distance
from projects.ts_anomaly.monitor.watch import RECENT, WatchConfig, new_watch, warmed
from projects.ts_anomaly.scoring.thresholds import Spot
from tests.ts_anomaly.conftest import pushed, wave


def test_the_gate_opens_for_a_new_normal_and_not_for_an_incident():
    random = np.random.default_rng(0)
    gate = DriftGate(random.standard_normal(1000))
    assert not gate.opens(random.standard_normal(RECENT), 0.0)
    assert gate.opens(1 + random.standard_normal(RECENT), 0.0)
    assert not gate.opens(1 + random.standard_normal(RECENT), 0.5)
    assert distance(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 6), min_size=1, max_size=20))
def test_the_distance_is_its_definition_and_gaps_do_not_count(one, other):
    expected = max(abs(np.mean(np.array(one) <= level) - np.mean(np.array(other) <= level)) for level in range(7))
    assert distance(np.array(one, dtype=float), np.array(other, dtype=float)) == pytest.approx(expected)
    assert distance(np.array([*one, np.nan]), np.array([np.nan, *other])) == pytest.approx(expected)
    assert distance(np.array(one, dtype=float), np.array([np.nan])) == 0.0


def test_both_limits_of_the_gate_belong_to_it():
    reference = np.arange(10.0)
    recent = np.concatenate([np.arange(2.0, 10.0), [9.5, 9.6]])  # two of ten have moved
    gate = DriftGate(reference, 0.2)
    assert distance(reference, recent) == pytest.approx(0.2) and gate.least <= distance(reference, recent) + 1e-12
    assert gate.opens(recent, MOST_ALARMS) and not gate.opens(recent, MOST_ALARMS + 0.01)
    assert gate.opens(recent, 1.0, lasting=True)
    assert not DriftGate(reference, 0.21).opens(recent, 0.0) and not DriftGate(reference, 0.21).opens(
        recent, 0.0, lasting=True
    )


def remembering(detector, series, alarms, memory=4 * RECENT):
    """A watch with a full memory of moved values, of which some were alarms, at the step where it may fit again."""
    watch = new_watch(detector, series.known, series.fit, WatchConfig(chance=1e-3, interval=60.0, memory=memory))
    moved = 1.5 * wave(memory, 3) + 0.5
    moved[alarms[-memory:]] += 50
    watch.values.extend(map(tuple, moved.tolist()))
    watch.alarms.extend(alarms.tolist())
    watch.scores.extend(np.random.default_rng(0).random(RECENT) + 10)  # nothing like the reference
    watch.begun, watch.step = 0.0, memory - 1
    return watch, moved


@pytest.mark.parametrize(
    ("where", "refits"),
    [
        ([], 1),
        (range(3 * RECENT, 4 * RECENT, 5), 0),  # now: an incident
        (range(0, 3 * RECENT, 5), 1),  # it is over
        ([*range(0, RECENT, 5), *range(2 * RECENT, 4 * RECENT, 5)], 0),  # there was a quiet quarter: it is one still
        (range(0, 4 * RECENT, 5), 1),  # all through the memory: the new normal
    ],
)
def test_alarms_stop_a_new_fit_unless_they_last_all_through_the_memory(detector, series, where, refits):
    alarms = np.zeros(4 * RECENT, dtype=bool)
    alarms[list(where)] = True
    watch, moved = remembering(detector, series, alarms)
    told = watch._refit_if_moved(0.0)
    assert watch.refits == refits and [alert.kind for alert in told] == ["refit"] * refits
    if len(where) > 4 * RECENT // 6:  # what lasts is normal now: its alarms are fitted on
        assert watch.detector.scaler.scale == Scaler.fit(moved).scale


@pytest.mark.parametrize("memory", [4 * RECENT, RECENT // 2])
def test_a_new_fit_is_of_the_last_points_without_their_alarms(detector, series, memory):
    alarms = np.zeros(max(memory, RECENT), dtype=bool)
    alarms[-memory::40] = True
    watch, moved = remembering(detector, series, alarms, memory)
    calm = moved.copy()
    calm[alarms[-memory:]] = np.nan
    assert watch.refit()
    expected = Scaler.fit(calm)
    assert (watch.detector.scaler.centre, watch.detector.scaler.scale) == (expected.centre, expected.scale)
    other = copy.deepcopy(watch.detector)
    state = other.begin()
    first = min(16 * watch.detector.model.patch, memory // 4)  # before it the model has seen too little
    evidence = other.evidence(calm, state)[:, :, first:]
    other.fit_tails(evidence)
    spot = Spot.fit(combined(other.judge(evidence)), 1e-3, gap=watch.config.gap)
    assert watch.spot == spot and watch.level == spot.level
    np.testing.assert_array_equal(watch.gate.reference, combined(other.judge(evidence)))
    following = wave(30, 7)
    points, _ = pushed(watch, following, start=60.0 * (watch.step + 1))
    expected_scores = combined(other.judge(other.evidence(following, state)))
    np.testing.assert_allclose([point.score for point in points], expected_scores, rtol=1e-4, atol=1e-4)
    assert watch.refit(keep=True) and (watch.detector.scaler.scale > 0).all()
    kept = Scaler.fit(np.array(watch.values))
    assert (watch.detector.scaler.centre, watch.detector.scaler.scale) == (kept.centre, kept.scale)


def test_a_level_that_moves_is_fitted_again_and_no_longer_alarms(detector, series):
    config = WatchConfig(chance=1e-3, interval=60.0, memory=2 * RECENT)
    watch = new_watch(detector, series.known, series.fit, config)
    moved = wave(5 * RECENT, 5) * 2 + np.linspace(0, 4, 5 * RECENT)[:, None]
    _, alerts = pushed(watch, moved)
    assert any(alert.kind == "refit" for alert in alerts) and watch.refits >= 1
    last = [alert for alert in alerts if alert.kind == "opened" and alert.step > 4 * RECENT]
    still = new_watch(copy.deepcopy(detector), series.known, series.fit, replace(config, memory=0))
    still.detector.fit(series.prefix)
    points, _ = pushed(still, moved)
    assert len(last) <= 10 and still.refits == 0 and len(points) == len(moved)


def test_a_channel_that_has_gone_for_long_stops_new_fits_and_not_the_watch():
    torch.manual_seed(0)
    watch = warmed(PatchTransformer(new_model(SMOKE).eval()), wave(300, channels=2), WatchConfig(memory=RECENT))
    moved = 5 * wave(3 * RECENT, 1, channels=2) + 8
    moved[:, 1] = np.nan
    before = watch.detector.scaler
    points, alerts = watch.push_many((float(n), tuple(row)) for n, row in enumerate(moved.tolist()))
    assert len(points) == len(moved) and all(math.isfinite(point.score) for point in points)
    assert watch.refits == 0 and watch.detector.scaler is before and not any(a.kind == "refit" for a in alerts)
    watch.values.clear()
    watch.values.extend((value if n % 16 == 0 else math.nan, value) for n, value in enumerate(wave(RECENT)[:, 0]))
    assert not watch.refit(keep=True) and watch.detector.scaler is before, "a value now and then is too little, too"
