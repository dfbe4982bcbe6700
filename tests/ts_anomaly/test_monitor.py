"""The watch: clocks, pauses, gaps, one event a fault, states that go on exactly."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from projects.ts_anomaly.config import SMOKE
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import RECENT, SILENCE, WatchConfig, new_watch, warmed
from shared.errors import UserError
from tests.ts_anomaly.conftest import pushed, wave


def test_a_watch_judges_as_the_detector_does(watch, detector, series):
    values = wave(200, 4)
    points, _ = pushed(watch, values)
    np.testing.assert_allclose([p.score for p in points][10:], detector.score(values)[10:], rtol=1e-4, atol=1e-4)


def test_one_fault_is_one_event_that_opens_at_once_and_closes(watch):
    values = wave(300, 4)
    values[200:210] += 30
    watch.config = replace(watch.config, threshold=15.0)
    _, alerts = pushed(watch, values)
    opened = [a for a in alerts if a.kind == "opened"]
    assert opened[0].step == 200 and len(opened) == 1 and opened[0].detail.startswith("channel 0: ")
    assert any(a.kind == "closed" and a.step == 200 for a in alerts)


def test_clocks_that_repeat_or_jump_back_are_dropped_and_pauses_are_gaps(watch):
    pushed(watch, wave(50))
    assert watch.push(49 * 60.0, [1.0]) == ([], []) and watch.push(0.0, [1.0]) == ([], [])
    points, _ = watch.push(54 * 60.0 + 7, [0.5])
    assert [point.step for point in points] == [50, 51, 52, 53, 54]
    assert all(math.isnan(point.values[0]) and not point.alarm for point in points[:4])
    points, _ = watch.push(10_000_000 * 60.0, [0.5])
    assert len(points) == 1, "a pause of ten million steps is not filled"


def test_rows_a_little_early_or_late_belong_to_the_nearest_step(watch):
    pushed(watch, wave(50))
    steps = []
    for time in (50 * 60.0 - 25, 51 * 60.0 + 25, 52 * 60.0 - 25):
        steps += [point.step for point in watch.push(time, [0.1])[0]]
    assert steps == [50, 51, 52]
    assert watch.push(52 * 60.0 + 29, [0.1]) == ([], []), "of two rows of a step the first counts"


def test_many_rows_at_once_are_judged_as_one_by_one(detector, series):
    config = WatchConfig(chance=1e-3, interval=60.0, memory=RECENT, threshold=60.0)
    one, many = (new_watch(copy.deepcopy(detector), series.known, series.fit, config) for _ in range(2))
    values = wave(600, 4)[:, 0]
    values[100:] = 2 * values[100:] + 1  # a new normal: fitted again at step 512
    values[150:153] += 5000
    times = 60.0 * np.arange(600)
    times[400:] += 5 * 60.0  # a pause that is filled
    times[560:] += 10_000 * 60.0  # and one that is not
    times[450] = times[449]  # a clock that stands
    rows = [(float(time), (float(value),)) for time, value in zip(times, values, strict=True)]
    singly, alerts = [], []
    for row in rows:
        points, told = one.push(*row)
        singly += points
        alerts += told
    together, at_once = many.push_many(rows)
    assert one.refits == many.refits == 1 and [p.step for p in singly] == [p.step for p in together]
    np.testing.assert_allclose([p.score for p in together], [p.score for p in singly], rtol=1e-3, atol=1e-3)
    assert [(a.kind, a.step) for a in at_once] == [(a.kind, a.step) for a in alerts]
    assert {"opened", "closed", "refit"} <= {a.kind for a in alerts}
    assert all(math.isnan(p.values[0]) for p in together[400:405]) and not math.isnan(together[405].values[0])


def test_silence_is_told_while_it_lasts_and_once(watch):
    pushed(watch, wave(50))
    last = 49 * 60.0
    assert watch.tick(last + 60 * (SILENCE - 1)) == []
    assert [a.kind for a in watch.tick(last + 60 * (SILENCE + 1))] == ["silence"]
    assert watch.tick(last + 60 * (SILENCE + 5)) == []
    _, alerts = watch.push(last + 60 * (SILENCE + 6), [0.0])
    assert alerts[0].kind == "back"


def test_infinite_huge_and_flat_values_do_not_break_it(watch):
    points, _ = pushed(watch, [math.inf, -math.inf, 1e300, math.nan, 5.0, 5.0, 5.0] * 10)
    assert all(math.isfinite(point.score) for point in points)


def test_a_channel_that_goes_is_told_once():
    rows = wave(300, channels=2)
    from projects.ts_anomaly.models.detectors import PatchTransformer, new_model

    model = new_model(SMOKE)
    watch = warmed(PatchTransformer(model.eval()), rows, WatchConfig(interval=1.0))
    gone = wave(40, 1, channels=2)
    gone[5:, 1] = np.nan
    _, alerts = pushed(watch, gone, step=1.0)
    assert [(a.kind, a.detail) for a in alerts if a.kind == "channel"] == [("channel", "channel 1 has gone")]


def test_steps_too_short_for_a_number_are_not_counted(detector, series):
    watch = new_watch(detector, series.known, series.fit, WatchConfig())
    watch.push(0.0, [0.0])
    watch.push(5e-324, [0.0])
    points, _ = watch.push(1e12, [0.0])
    assert len(points) == 1 and math.isfinite(points[0].time)


# ---------------------------------------------------------------- state


def test_who_is_stopped_goes_on_exactly(watch, trained, tmp_path):
    values = wave(400, 9)
    values[250:260] += 20
    values[120:124] = np.nan
    whole = copy.deepcopy(watch)
    expected, alerts = pushed(whole, values)
    first, before = pushed(watch, values[:255])
    save_watch(watch, tmp_path / "state", place=[1, 2, 3])
    again, extra = load_watch(tmp_path / "state", copy.deepcopy(trained))
    rest, after = pushed(again, values[255:], start=255 * 60.0)
    assert extra == {"place": [1, 2, 3]}
    assert [p.score for p in first + rest] == [p.score for p in expected] or np.array_equal(
        [p.score for p in first + rest], [p.score for p in expected], equal_nan=True
    )
    assert before + after == alerts
    assert again.spot == whole.spot and again.events.current == whole.events.current


def test_a_state_of_other_weights_or_none_is_refused(watch, trained, tmp_path):
    save_watch(watch, tmp_path / "state")
    other = copy.deepcopy(trained)
    next(other.model.parameters()).data.add_(1.0)
    with pytest.raises(UserError, match="other weights"):
        load_watch(tmp_path / "state", other)
    (tmp_path / "state").write_bytes(b"\x00" * 50)
    with pytest.raises(UserError, match="no saved state"):
        load_watch(tmp_path / "state", other)


@pytest.mark.parametrize("broken", ["extra", "spot", "tails", "near", "values", "step and all"])
def test_a_damaged_state_is_one_line(watch, trained, tmp_path, broken):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "state"
    save_watch(watch, path)
    with safe_open(path, "pt") as file:
        told = json.loads(file.metadata()["watch"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    told = ["no table"] if broken == "step and all" else {k: v for k, v in told.items() if k != broken}
    tensors.pop(broken, None)
    save_file(tensors, path, {"watch": json.dumps(told)})
    with pytest.raises(UserError, match="remove it to begin anew") as error:
        load_watch(path, copy.deepcopy(trained))
    assert "\n" not in str(error.value)
