"""Tails and thresholds against scipy and against what they promise; events; change points."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genpareto

from projects.ts_anomaly.changes import change_points
from projects.ts_anomaly.measure import alarms, finance
from projects.ts_anomaly.scoring.events import Event, Events, merged
from projects.ts_anomaly.scoring.tails import Tail, fit_pareto
from projects.ts_anomaly.scoring.thresholds import Spot, conformal_threshold, mad_threshold, quantile_threshold


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


@pytest.mark.parametrize(
    ("count", "chance", "rank"),
    [(9, 0.1, 9), (19, 0.1, 18), (10, 0.1, 10), (8, 0.1, None), (99, 0.05, 95), (100, 0.05, 96), (4, 0.5, 3)],
)
def test_a_conformal_threshold_is_the_rank_of_its_definition(count, chance, rank):
    scores = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))  # the k-th smallest is k
    assert conformal_threshold(scores, chance) == (math.inf if rank is None else rank)
    if rank is not None:  # of count + 1 exchangeable scores, those of a larger rank are above it
        assert (count + 1 - rank) / (count + 1) <= chance + 1e-12 < (count + 2 - rank) / (count + 1)


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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 6))
def test_events_are_their_definition_also_as_they_come(pairs, gap):
    alarms, scores = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    expected: list[list[int]] = []
    for at in np.flatnonzero(alarms).tolist():  # those at most `gap` apart are one
        if expected and at - expected[-1][-1] <= gap:
            expected[-1].append(at)
        else:
            expected.append([at])
    found = merged(scores.astype(float), alarms.astype(bool), 0.5, gap)
    assert [(e.start, e.stop) for e in found] == [(each[0], each[-1] + 1) for each in expected]
    for event, places in zip(found, expected, strict=True):
        best = max(scores[place] for place in places)
        assert event.peak == best and event.peak_at == next(place for place in places if scores[place] == best)
    events, opened, closed = Events(gap), [], []
    for at in range(len(pairs) + gap + 1):
        alarm = at < len(pairs) and bool(alarms[at])
        new, old = events.push(at, float(scores[at]) if alarm else 0.0, 0.5, alarm=alarm)
        opened += [new.start] if new else []
        closed += [(at, old)] if old else []
    assert opened == [each[0] for each in expected] and [old for _, old in closed] == found
    assert all(at == old.stop + gap for at, old in closed), "it closes as soon as no alarm could belong to it"


def test_a_severity_is_how_many_times_the_threshold_the_peak_is():
    ratios = {1.0: "low", 1.24: "low", 1.25: "medium", 1.99: "medium", 2.0: "high", 9.0: "high"}
    assert {ratio: Event(0, 1, 3 * ratio, 0, 3.0).severity for ratio in ratios} == ratios


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


def test_the_made_metric_moves_and_its_faults_are_marked():
    values = alarms.server_metric(6 * 10_080, 0)
    still = alarms.server_metric(6 * 10_080, 0, moves=False)
    np.testing.assert_array_equal(values[: 2 * 10_080], still[: 2 * 10_080])
    assert values[-10_080:].mean() - still[-10_080:].mean() > 10
    changed, marks = alarms.with_faults(values[:10_080], values[:5000], 0)
    np.testing.assert_array_equal(changed[~marks], values[:10_080][~marks])
    assert len(merged(marks.astype(float), marks, 0.5, 2)) == 7
