"""What alarms are worth: sums that add up to the measures, thresholds that look at no label, errors with places."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from projects.ts_anomaly import evaluate as ev
from projects.ts_anomaly.baselines.simple import InputNorm
from projects.ts_anomaly.measure import levels, worst
from projects.ts_anomaly.trials import Trial
from shared.study import Done
from tests.ts_anomaly.conftest import wave


def test_sums_of_stretches_give_the_measures_of_all_of_them():
    random, sums, parts = np.random.default_rng(0), 0.0, []
    for _ in range(6):
        labels, alarms = np.zeros(120, dtype=int), np.zeros(120, dtype=bool)
        labels[40:60] = 1
        alarms[random.integers(20, 100, size=3)] = True
        sums = sums + levels.statistics(labels, alarms)
        parts.append((labels, alarms))
    quiet = np.zeros(levels.GAP + 1)
    labels, alarms = (np.concatenate([np.concatenate([part[side], quiet]) for part in parts]) for side in (0, 1))
    events = np.zeros(len(alarms), dtype=bool)
    for at in np.flatnonzero(alarms):  # alarms at most GAP apart are one event
        later = np.flatnonzero(alarms[at : at + levels.GAP + 1])
        events[at : at + later[-1] + 1] = True
    labels, found = labels.astype(int), levels.measures(sums)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(
        ev.precision_recall_f1(labels, alarms.astype(bool))
    )
    assert found["range_f1"] == pytest.approx(ev.range_f1(labels, events)[2])
    assert found["event_f1"] == pytest.approx(ev.event_f1(labels, events)[2])
    false = sum(not labels[start:stop].any() for start, stop in ev.ranges(events))
    assert found["false"] == pytest.approx(1000 * false / (6 * 100))


def test_alarms_that_are_near_are_one_event_and_nothing_is_divided_by_zero():
    labels, alarms = np.zeros(100, dtype=int), np.zeros(100, dtype=bool)
    assert set(levels.measures(levels.statistics(labels, alarms)).values()) == {0.0}
    labels[50:60], alarms[[50, 55, 66]] = 1, True
    found = levels.measures(levels.statistics(labels, alarms))
    assert found["false"] == 0 and found["event_f1"] == 1.0, "66 still belongs to the event"
    alarms[90] = True
    assert levels.measures(levels.statistics(labels, alarms))["false"] == pytest.approx(1000 / 90)


def test_a_threshold_does_not_move_with_labels_or_with_what_is_judged(series):
    detector = InputNorm().fit(series.prefix)
    limit = levels.level(detector, series)
    assert np.isfinite(limit)
    values, labels = series.values.copy(), series.labels.copy()
    values[series.validation :], labels[series.validation :] = 99.0, 1
    assert levels.level(detector, replace(series, values=values, labels=labels)) == limit


def test_event_f1s_interval_draws_series_and_holds_its_mean():
    random = np.random.default_rng(0)
    sums = {}
    for name, rate in (("a", 0.9), ("b", 0.1)):
        cell = []
        for _ in range(20):
            labels, alarms = np.zeros(100, dtype=int), np.zeros(100, dtype=bool)
            labels[50:60] = 1
            alarms[52] = random.random() < rate
            cell.append(levels.statistics(labels, alarms))
        sums[name] = [np.array([cell])]
    low, high = levels._interval(sums)
    assert low < 0.35 and high > 0.85, "with two series that differ the interval reaches from one to the other"
    assert low < levels._means(sums)["event_f1"] < high


def test_false_alarms_and_misses_are_told_with_their_places():
    labels, scores = np.zeros(100, dtype=int), np.ones(100)
    labels[40:50] = 1
    scores[45], scores[80] = 2.5, 9.0
    assert worst._wrong(Trial("level", labels, scores), 3.0) == [("false alarm", 80, 80), ("miss", 40, 45)]
    scores[45] = 4.0
    assert worst._wrong(Trial("level", labels, scores), 3.0) == [("false alarm", 80, 80)]


def test_the_same_false_alarm_in_many_trials_is_one_row(monkeypatch):
    def wrong(done, limit, count):
        for kind in ("spike", "flat"):
            yield worst.Worst("false alarm", "x", kind, 7, 5.0, limit, "near", -1, 1.0)
            yield worst.Worst("miss", "x", kind, 9, 1.0, limit, "near", -1, 1.0)

    monkeypatch.setattr(worst, "errors", wrong)
    told = SimpleNamespace(seed=0, dataset="x")
    level = SimpleNamespace(last=lambda _: "level", number=lambda _: 2.0)
    rows = worst.rows([Done("x", told, level)], [Done("x", told, level)], most=5)
    assert [(row["error"], row["kind"], row["times"]) for row in rows] == [
        ("false alarm", "spike", 2),
        ("miss", "spike", 1),
        ("miss", "flat", 1),
    ]


def test_steps_of_errors_are_places_in_the_series(trained, monkeypatch, series):
    values = np.concatenate([series.values, wave(1000, 3)])
    long = replace(series, values=values, labels=None, fit=400, validation=700)
    monkeypatch.setattr(worst, "load_series", lambda _: long)
    monkeypatch.setattr(worst, "load_detector", lambda _: trained)
    done = Done("wave", SimpleNamespace(dataset="wave"), SimpleNamespace(), directory=Path())
    score = trained.score(values)
    found = worst.errors(done, float(np.nanquantile(score, 0.97)), 2)
    assert found and all(700 <= each.step < len(values) for each in found)
    calm = [each for each in found if each.error == "false alarm" and each.behind < 0]
    assert calm and any(abs(score[each.step] - each.score) < 1e-3 for each in calm)
