"""Tails and thresholds against scipy and against what they promise; events; change points; explanations."""

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import genpareto

from projects.ts_anomaly.changes import change_points
from projects.ts_anomaly.explain.channels import because, deletion_gain, nearest_normal, occlusion, without
from projects.ts_anomaly.measure import alarms, finance
from projects.ts_anomaly.scoring.events import Event, merged
from projects.ts_anomaly.scoring.tails import Tail, fit_pareto
from projects.ts_anomaly.scoring.thresholds import Spot, conformal_threshold, mad_threshold, quantile_threshold
from tests.ts_anomaly.conftest import wave


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.6])
def test_the_pareto_is_scipys(shape):
    excesses = genpareto.rvs(shape, scale=2.0, size=2000, random_state=1)
    mine, theirs = fit_pareto(excesses), genpareto.fit(excesses, floc=0)
    assert mine == pytest.approx((theirs[0], theirs[2]), abs=0.01)


def test_surprise_is_the_chance_of_normal_data():
    random = np.random.default_rng(0)
    tail, new = Tail.fit(random.standard_normal(20_000)), random.standard_normal(500_000)
    for level in (1.0, 2.0, 3.0, 4.0):
        share = float((tail.surprise(new) >= level).mean())
        assert -math.log10(max(share, 1e-9)) > level - 0.35, "it is never too sure"
        assert level > 3 or -math.log10(share) < level + 0.35
    grid = np.linspace(-5, 50, 2000)
    assert (np.diff(tail.surprise(grid)) >= 0).all() and tail.surprise(np.array([50.0])) > tail.surprise(
        np.array([10.0])
    )
    assert np.isnan(tail.surprise(np.array([np.nan])))[0]
    again = Tail.from_json(json.loads(json.dumps(tail.as_json())))
    np.testing.assert_array_equal(again.surprise(grid), tail.surprise(grid))


@pytest.mark.parametrize("chance", [1e-2, 1e-3, 1e-4])
def test_thresholds_achieve_what_was_asked_for(chance):
    random = np.random.default_rng(3)
    known, new = random.exponential(size=20_000), random.exponential(size=1_000_000)
    for level in (quantile_threshold(known, chance), conformal_threshold(known, chance), Spot.fit(known, chance).level):
        assert chance / 3 < float((new > level).mean()) < 3 * chance
    assert conformal_threshold(known[:50], 1e-3) == math.inf
    assert mad_threshold(np.array([0.0, 1.0, 2.0]), 4.0) == pytest.approx(1 + 4 * 1.4826)


def test_a_conformal_threshold_keeps_its_promise_on_average():
    random, alarms_seen = np.random.default_rng(0), []
    for _ in range(2000):
        scores = random.random(100)
        alarms_seen.append(random.random() > conformal_threshold(scores[:99], 0.1))
    assert float(np.mean(alarms_seen)) == pytest.approx(0.1, abs=0.02)


def test_a_stream_moves_the_level_with_its_peaks_and_never_with_alarms():
    random = np.random.default_rng(0)
    spot = Spot.fit(random.exponential(size=2000), 1e-4)
    level = spot.level
    assert all(spot.push(100.0) for _ in range(50)) and spot.level == level
    for score in 1.5 * random.exponential(size=5000):
        spot.push(float(score))
    assert spot.level > level and len(spot.peaks) <= 1000
    assert not spot.push(math.nan) and Spot.from_json(json.loads(json.dumps(spot.as_json()))) == spot


def test_a_fault_that_lasts_is_one_peak():
    scores = np.tile(np.concatenate([np.zeros(90), np.full(10, 5.0)]), 20) + np.random.default_rng(0).random(2000)
    assert Spot.fit(scores, 1e-4, gap=5, initial=0.9).total == 20 < Spot.fit(scores, 1e-4, initial=0.9).total


def test_alarms_near_each_other_are_one_event_with_its_peak():
    scores = np.zeros(50)
    scores[[10, 12, 30]] = [4.0, 9.0, 5.0]
    found = merged(scores, scores > 3, 3.0, 5)
    assert [(e.start, e.stop, e.peak, e.peak_at, e.open) for e in found] == [
        (10, 13, 9.0, 12, False),
        (30, 31, 5.0, 30, False),
    ]
    assert [e.severity for e in found] == ["high", "medium"]
    assert Event(0, 1, 3.1, 0, 3.0).severity == "low"


# ---------------------------------------------------------------- change points


def test_the_segmentation_is_the_cheapest_of_all():
    random = np.random.default_rng(0)
    values = np.concatenate([random.standard_normal(14), 4 + random.standard_normal(13), random.standard_normal(13)])[
        :, None
    ]

    def cost(changes, penalty):
        scaled = (values - values.mean()) / values.std()
        edges = [0, *changes, len(values)]
        total = 0.0
        for start, stop in itertools.pairwise(edges):
            if stop - start < 5:
                return math.inf
            total += (stop - start) * math.log(max(float(scaled[start:stop].var()), 1e-4)) / 2
        return total + penalty * 1.5 * math.log(len(values)) * len(changes)

    for penalty in (0.5, 1.0, 3.0):
        every = [(), *((a,) for a in range(40)), *((a, b) for a in range(40) for b in range(a + 1, 40))]
        best = min(every, key=lambda changes: cost(changes, penalty))
        found = change_points(values, penalty)
        if len(found) <= 2:
            assert cost(found, penalty) == pytest.approx(cost(best, penalty))


def test_people_are_nearer_to_each_other_than_no_change_is():
    rows = finance.rows()
    assert len(rows) == 12
    for name in finance.SERIES:
        none, _, people = (row for row in rows if row["series"] == name)
        assert people["covering"] > none["covering"]


# ---------------------------------------------------------------- explanations


def test_a_spike_is_explained_by_itself(detector):
    values = wave(300, 6)
    values[295] += 25
    values = values[:296]
    told = because(detector, values)
    assert told.channel == 0 and told.evidence in told.by_evidence and max(told.by_channel) > 3
    fall = occlusion(detector, values, 0, shown=16)
    assert int(fall.argmax()) == 15 and fall[15] > 1
    named, drawn = deletion_gain(detector, values, 0, fall, count=2, seed=0)
    assert named > drawn - 1e-9 and named > 1


def test_deleting_steps_takes_nothing_from_them():
    values = wave(50)
    changed = without(values, 0, np.array([10, 11, 49]))
    assert changed[10, 0] == pytest.approx(values[9, 0] + (values[12, 0] - values[9, 0]) / 3)
    assert changed[49, 0] == values[48, 0]


def test_the_nearest_normal_is_the_one_that_is_there():
    normal = wave(400)
    place, correlation = nearest_normal(normal, normal[:264], 0)
    assert place == 200 and correlation == pytest.approx(1.0)


def test_the_made_metric_moves_and_its_faults_are_marked():
    values = alarms.server_metric(6 * 10_080, 0)
    still = alarms.server_metric(6 * 10_080, 0, moves=False)
    np.testing.assert_array_equal(values[: 2 * 10_080], still[: 2 * 10_080])
    assert values[-10_080:].mean() - still[-10_080:].mean() > 10
    changed, marks = alarms.with_faults(values[:10_080], values[:5000], 0)
    np.testing.assert_array_equal(changed[~marks], values[:10_080][~marks])
    assert len(merged(marks.astype(float), marks, 0.5, 2)) == 7
