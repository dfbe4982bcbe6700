"""Readers on the hand-written bad input, grids, scales from the past alone, injections whose two sides share
nothing."""

import itertools
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.ts_anomaly.data.clean import Scaler, filled, regular
from projects.ts_anomaly.data.inject import inject, kinds, read_kinds
from projects.ts_anomaly.data.origins import GAP, ORIGINS, origins
from projects.ts_anomaly.data.reading import Reader, in_order, read_prometheus, read_table
from projects.ts_anomaly.data.series import definitions, load_series
from projects.ts_anomaly.trials import CONTEXT, stretches, trials
from shared.errors import UserError
from tests.ts_anomaly.conftest import wave

BAD = tomllib.loads(Path(__file__).with_name("bad_input.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", BAD["csv"], ids=lambda case: case["why"])
def test_tables_as_people_write_them(case, tmp_path):
    path = tmp_path / "series.csv"
    path.write_bytes((case["text"] if case["text"] != "LONG" else "v\n" + "1" * 200_000).encode())
    if "says" in case:
        with pytest.raises(UserError, match=case["says"]) as error:
            read_table(path)
        assert "\n" not in str(error.value)
        return
    table = read_table(path)
    np.testing.assert_array_equal(table.values[:, 0], case["values"])
    np.testing.assert_allclose(table.times - table.times[0], case["times"])


@pytest.mark.parametrize("case", BAD["prometheus"], ids=lambda case: case["why"])
def test_answers_of_prometheus(case):
    if "says" in case:
        with pytest.raises(UserError, match=case["says"]):
            read_prometheus(case["text"], "body")
        return
    ((_, rows),) = read_prometheus(case["text"], "body")
    np.testing.assert_array_equal([row.values[0] for row in rows], case["values"])
    assert [row.time for row in rows] == case["times"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        for row in in_order(Reader("x").rows(text.split("\n"))):
            assert all(math.isnan(value) or math.isfinite(value) for value in row.values)
    except UserError as error:
        assert str(error).startswith("x")


@pytest.mark.parametrize("time", ["1e300", "-1e300", "inf", "nan"])
def test_times_that_no_clock_shows_are_refused(time):
    with pytest.raises(UserError, match="no time"):
        list(Reader("x").rows(["t,v", f"{time},1"]))
    answer = {"resultType": "matrix", "result": [{"metric": {}, "values": [[float(time), "1"]]}]}
    with pytest.raises(UserError, match="no time"):
        read_prometheus(json.dumps({"status": "success", "data": answer}), "body")


def test_values_whose_square_is_no_number_are_gaps():
    rows = list(Reader("x").rows(["t,v", "0,1e151", "1,-1.7e308", "2,1e150"]))
    np.testing.assert_array_equal([row.values[0] for row in rows], [np.nan, np.nan, 1e150])


def test_who_watches_reads_no_labels_and_who_trains_does(tmp_path):
    lines = ["t,v,Label", *(f"{60 * n},{n},{int(n == 90)}" for n in range(100) if n != 50)]
    rows = list(Reader("x").rows(lines))
    assert {row.values for row in rows} == {(float(n),) for n in range(100) if n != 50}
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines))
    series = load_series(str(path))
    assert series.values.shape == (100, 1) and np.isnan(series.values[50]).all(), "a row that did not come is a gap"
    assert np.flatnonzero(series.labels).tolist() == [90]
    with pytest.raises(UserError, match="0 channels"):
        list(Reader("x").rows(["t,label", "0,1"]))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([f"{n},1" for n in range(10)], "has 10 rows, of at least 64"),
        ([f"{-n},1" for n in range(100)], "99 of 100 rows does not go on; sort it"),
        ([f"{n + (n > 50) * 10**9},1" for n in range(100)], "steps of 1 s"),
    ],
)
def test_a_file_that_cannot_be_trained_on_says_why_in_one_line(rows, says, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("\n".join(["t,v", *rows]))
    with pytest.raises(UserError, match=says) as error:
        load_series(str(path))
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_file_in_another_encoding_is_read_all_the_same(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("t,tensión\n0,1\n1,2\n".encode("latin-1"))
    assert read_table(path).values.ravel().tolist() == [1.0, 2.0]


def test_a_missing_file_or_series_is_one_line():
    with pytest.raises(UserError, match="did you mean mitdb"):
        load_series("mitbd")


@pytest.mark.parametrize("name", definitions())
def test_every_embedded_series_is_there_and_known_before_it_is_judged(name):
    series = load_series(name)
    assert 0 < series.fit < series.validation < len(series.values)
    if series.labels is not None:
        assert len(series.labels) == len(series.values) and series.labels[series.validation :].any()
        assert not series.labels[: series.fit].any()
        assert np.isnan(series.known[series.labels[: series.validation] != 0]).all()


def test_who_changes_a_series_changes_no_other():
    one = load_series("mitdb")
    one.values[:], one.labels[:] = 0.0, 1
    other = load_series("mitdb")
    assert other.values.any() and not other.labels.all()


def test_annotations_are_indices_of_what_is_loaded():
    for name in ("apple", "bitcoin", "brent", "occupancy"):
        series = load_series(name)
        assert len(series.annotations) == 5
        assert max(max(each) for each in series.annotations) < len(series.values)
    assert [len(load_series(name).values) for name in ("apple", "brent")] == [623, 500]


def test_scales_come_from_the_prefix_and_flat_channels_have_one():
    scaler = Scaler.fit(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    assert scaler.scale.tolist() == [pytest.approx(1.4826), 1.0]
    assert np.isnan(scaler(np.array([[1e300, np.inf]]))).all()
    with pytest.raises(UserError, match="no value"):
        Scaler.fit(np.full((5, 1), np.nan))


def test_anomalies_in_the_prefix_move_the_scale_little():
    clean, dirty = wave(1000), wave(1000)
    dirty[::50] += 40
    a, b = Scaler.fit(clean), Scaler.fit(dirty)
    assert abs(a.centre - b.centre) < 0.1 and b.scale / a.scale < 1.1 and dirty.std() / clean.std() > 5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.just(math.nan), st.floats(-5, 5)), min_size=2, max_size=30), st.integers(1, 29))
def test_filling_takes_nothing_from_the_future(values, cut):
    whole = filled(np.array(values)[:, None])
    np.testing.assert_array_equal(whole[:cut], filled(np.array(values[:cut])[:, None]))
    assert not np.isnan(whole).any()


def test_a_gap_is_filled_with_what_came_before_it_and_not_with_zero():
    values = np.array([[np.nan, 3.0], [2.0, np.nan], [np.nan, np.nan], [5.0, 4.0]])
    np.testing.assert_array_equal(filled(values, start=-1.0), [[-1, 3], [2, 3], [2, 3], [5, 4]])


def test_a_grid_keeps_the_first_value_of_a_step_and_marks_pauses():
    times = np.array([0.0, 60.0, 119.0, 125.0, 300.0])
    grid, values = regular(times, np.arange(5.0)[:, None], 60.0)
    np.testing.assert_array_equal(values.ravel(), [0, 1, 2, np.nan, np.nan, 4])
    assert grid.tolist() == [0, 60, 120, 180, 240, 300]
    with pytest.raises(UserError, match="steps"):
        regular(np.array([0.0, 1.0, 1e12]), np.zeros((3, 1)), 1.0)


def test_a_grids_step_is_the_median_distance_and_channels_are_placed_alone():
    times = 100.0 + np.array([0.0, 10.0, 21.0, 24.0, 90.0, 99.0])  # a pause, and two rows in one step
    values = np.array([[0, 9], [1, np.nan], [np.nan, 2], [3, 4], [5, 6], [np.nan, 7.0]])
    grid, found = regular(times, values)
    assert np.median(np.diff(times)) == 10 != np.mean(np.diff(times))
    np.testing.assert_array_equal(grid, 100.0 + 10 * np.arange(11))
    expected = np.full((11, 2), np.nan)
    expected[[0, 1, 2, 9], 0] = [0, 1, 3, 5]  # the gap at 21 leaves its step to the row of 24
    expected[[0, 2, 9, 10], 1] = [9, 2, 6, 7]
    np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- injections


def test_what_is_trained_against_and_what_is_judged_by_share_no_size_and_no_length():
    told = read_kinds()
    assert len(told) == 8 and set(kinds("train")) & set(kinds("test")) == {"spike", "level"}
    for name in ("spike", "level"):
        train, test = told[name]["train"], told[name]["test"]
        for low, high in test["sizes"]:
            assert all(high < a or low > b for a, b in train["sizes"])
    for low, high in told["level"]["test"]["lengths"]:
        assert all(high < a or low > b for a, b in told["level"]["train"]["lengths"])


@pytest.mark.parametrize("kind", kinds("test"))
def test_labels_mark_what_was_changed_and_nothing_else(kind):
    values, prefix = wave(400, 3)[:, 0], wave(500)[:, 0]
    for seed in range(20):
        put = inject(values, kind, "test", prefix, np.random.default_rng(seed), margin=30)
        outside = put.labels == 0
        np.testing.assert_array_equal(put.values[outside], values[outside])
        assert put.labels[:30].sum() == put.labels[-30:].sum() == 0
        assert np.abs(put.values - values)[put.labels == 1].max() > 0.05
        length = put.labels.sum()
        assert length == 1 if kind == "spike" else 48 <= length <= 80


def test_sizes_are_in_deviations_of_the_prefix():
    values, prefix = np.zeros(300), 7 * np.random.default_rng(0).standard_normal(5000)
    spike = inject(values, "spike", "test", prefix, np.random.default_rng(1)).values
    assert np.abs(spike).max() == pytest.approx(4 * prefix.std())
    drift = inject(values, "drift", "test", prefix, np.random.default_rng(1)).values
    assert np.abs(drift).max() == pytest.approx(3 * prefix.std())


def test_trials_are_the_same_for_all_and_hold_no_anomaly_of_the_series_own():
    series = load_series("mitdb")
    told = {"side": "test", "part": "test", "count": 2, "seed": 1}
    seen = [[], []]
    for each in seen:
        list(trials(lambda values, each=each: each.append(values) or np.zeros(len(values)), series, ("flat",), **told))
    np.testing.assert_array_equal(seen[0], seen[1])
    event = np.flatnonzero(series.labels)
    assert all(at + 512 <= event[0] or at - CONTEXT > event[-1] for at in stretches(series, "test", 512))
    assert min(stretches(series, "test", 512)) >= series.validation


# ---------------------------------------------------------------- rolling origins


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 6), st.integers(0, 900), st.floats(0.05, 0.9))
def test_at_a_rolling_origin_the_past_is_known_and_the_future_judged_behind_a_gap(n, count, gap, first):
    try:
        found = origins(n, count, gap=gap, first=first)
    except UserError:
        assert (n - gap - round(first * n)) < count or round(first * n) < 1
        return
    assert len(found) == count and found[-1][2] <= n
    assert len({stop - judged for _, judged, stop in found}) == 1, "what is judged is as long everywhere"
    for known, judged, stop in found:
        assert known > 0 and judged - known == gap and judged < stop
    for (known, judged, stop), (later, next_judged, _) in itertools.pairwise(found):
        assert known < later and judged < next_judged and stop == next_judged, "in order, and nothing judged twice"


@pytest.mark.parametrize("name", ["sp500", "mitdb"])
def test_a_series_at_an_origin_shows_nothing_of_what_comes_later(name):
    whole = load_series(name)
    for number, (known, judged, stop) in enumerate(origins(len(whole.values))):
        there = load_series(f"{name}@{number}")
        assert (there.validation, there.judged, len(there.values)) == (known, judged, stop)
        assert 0 < there.fit < known and judged - known >= GAP > CONTEXT
        np.testing.assert_array_equal(there.values, whole.values[:stop])
        starts = stretches(there, "test", 512)
        assert starts and min(starts) >= judged and max(starts) + 512 <= stop
        validated = stretches(there, "validation", 128)
        assert min(validated) >= there.fit and max(validated) + 128 <= known
    with pytest.raises(UserError, match="no such file"):
        load_series(f"{name}@{ORIGINS}")


def test_the_gap_is_at_least_what_any_score_looks_back():
    from projects.ts_anomaly.config import Config
    from projects.ts_anomaly.measure.injected import BASELINES
    from projects.ts_anomaly.measure.rolling import DETECTORS
    from projects.ts_anomaly.models.detectors import new_detector, new_model

    looked = [new_detector("contrast", new_model(Config())).context]
    looked += [each.context for name in DETECTORS for each in BASELINES[name]]
    assert max(looked) <= GAP
