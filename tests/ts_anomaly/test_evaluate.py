"""Measures against the libraries' own, the definitions by brute force, and what knowing nothing gets."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from projects.ts_anomaly import evaluate as ev

VUS = json.loads(Path(__file__).with_name("vus.json").read_text())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_areas_are_scikit_learns_with_ties(pairs):
    labels, scores = np.array([a for a, _ in pairs], dtype=int), np.array([float(b) for _, b in pairs])
    if labels.any():
        assert ev.auc_pr(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    if 0 < labels.sum() < len(labels):
        assert ev.auc_roc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@pytest.mark.parametrize("case", VUS, ids=lambda case: case["name"])
def test_vus_is_the_authors(case):
    found = ev.vus_pr(np.array(case["labels"]), np.array(case["scores"]), case["buffer"])
    assert found == pytest.approx(case["vus_pr"], abs=1e-9)


def test_a_constant_has_the_share_and_a_label_as_score_has_one():
    labels = np.zeros(200, dtype=int)
    labels[20:30] = 1
    assert ev.auc_pr(labels, np.zeros(200)) == pytest.approx(0.05)
    assert ev.auc_pr(labels, labels.astype(float)) == 1.0
    assert ev.vus_pr(labels, labels.astype(float), 0) == pytest.approx(1.0)


@pytest.mark.parametrize(("length", "expected"), [(10, 0.37), (100, 0.87), (500, 0.96)])
def test_point_adjustment_makes_noise_look_good(length, expected):
    labels = np.zeros(20_000, dtype=int)
    for start in range(0, 20_000, length * 20):
        labels[start : start + length] = 1
    scores = np.random.default_rng(0).random(20_000)
    assert ev.best_f1(labels, scores) == pytest.approx(0.095, abs=0.01)
    assert ev.point_adjusted_f1(labels, scores) == pytest.approx(expected, abs=0.06)


def test_roc_flatters_where_precision_does_not():
    labels, scores = np.zeros(10_000, dtype=int), np.arange(10_000.0)
    labels[9800:9900] = 1
    assert ev.auc_roc(labels, scores) > 0.98 and ev.auc_pr(labels, scores) < 0.35


def test_ranges_events_and_delays_by_hand():
    labels = np.array([0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0])
    alarms = np.array([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1]).astype(bool)
    assert ev.ranges(labels) == [(1, 5), (7, 9)]
    assert ev.precision_recall_f1(labels, alarms) == pytest.approx((2 / 4, 2 / 6, 0.4))
    assert ev.event_f1(labels, alarms) == pytest.approx((2 / 3, 1 / 2, 4 / 7))
    # one of four points twice: half of the range in two pieces is a quarter; alarms: 1, 1 and 0 of 3
    assert ev.range_f1(labels, alarms)[:2] == pytest.approx((2 / 3, (0.5 / 2 + 0) / 2))
    assert ev.range_f1(labels, alarms, alpha=0.5)[1] == pytest.approx((0.5 + 0.5 * 0.25 + 0) / 2)
    assert ev.delays(labels, alarms) == [1]


def cut(*spans, n=12):
    found = np.zeros(n, dtype=int)
    for start, stop in spans:
        found[start:stop] = 1
    return found


@pytest.mark.parametrize(
    ("real", "found", "alpha", "precision", "recall"),
    [  # prts: ts_recall(alpha, cardinality="reciprocal", bias="flat"), ts_precision likewise; each worked out by hand
        ([(2, 6)], [(2, 6)], 0.0, 1.0, 1.0),
        ([(2, 6)], [(4, 8)], 0.0, 2 / 4, 2 / 4),
        ([(2, 6)], [(2, 3), (5, 6)], 0.0, 1.0, (2 / 4) / 2),  # two pieces: half of what is covered counts
        ([(2, 6)], [(2, 3), (5, 6)], 0.5, 1.0, 0.5 + 0.5 * (2 / 4) / 2),
        ([(1, 3), (6, 8)], [(1, 8)], 0.0, (4 / 7) / 2, 1.0),  # an alarm over two events is not worth twice
        ([(1, 3), (6, 10)], [(2, 3), (10, 12)], 0.2, 1 / 2, (0.2 + 0.8 * 1 / 2 + 0) / 2),
        ([(2, 6)], [], 0.0, 0.0, 0.0),
        ([], [(2, 6)], 0.0, 0.0, 0.0),
    ],
)
def test_range_f1_is_prts_definition_worked_out_by_hand(real, found, alpha, precision, recall):
    expected = (precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    assert ev.range_f1(cut(*real), cut(*found).astype(bool), alpha) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_ranges_and_events_are_their_definitions_point_by_point(pairs):
    labels, alarms = (np.array([pair[side] for pair in pairs], dtype=int) for side in (0, 1))

    def sets(values):
        found, current = [], set()
        for place, value in enumerate([*values, 0]):
            if value:
                current.add(place)
            elif current:
                found.append(current)
                current = set()
        return found

    def reward(one, others):
        pieces = sum(bool(one & other) for other in others)
        return len(one & set().union(*others)) / len(one) / max(pieces, 1)

    real, found = sets(labels), sets(alarms)
    rewards = ([reward(each, real) for each in found], [reward(each, found) for each in real])
    assert ev.range_rewards(labels, alarms.astype(bool)) == (pytest.approx(rewards[0]), pytest.approx(rewards[1]))
    met = ([any(each & o for o in real) for each in found], [any(each & o for o in found) for each in real])
    assert ev.event_hits(labels, alarms.astype(bool)) == met


def test_covering_and_margin_by_hand():
    assert ev.covering([50], [50], 100) == 1.0
    assert ev.covering([50], [], 100) == 0.5
    assert ev.covering([50], [40], 100) == pytest.approx((50 * 40 / 50 + 50 * 50 / 60) / 100)
    assert ev.change_f1([[50], [50, 80]], [53, 20])[:2] == pytest.approx((2 / 3, (1.0 + 2 / 3) / 2))
    assert ev.change_f1([[50]], [46, 54])[0] == pytest.approx(2 / 3)  # one change is met once


def test_the_interval_is_of_clusters():
    values = np.array([0.0, 1.0] * 10)
    low, high = ev.clustered_interval(lambda picks: float(values[picks].mean()), 20)
    assert 0.2 < low < 0.35 and 0.65 < high < 0.8
