"""Why a point was called anomalous: occlusion against what it says it does, deletion, the nearest normal stretch."""

import numpy as np
import pytest

from projects.ts_anomaly.explain.__main__ import ExplainConfig
from projects.ts_anomaly.explain.__main__ import main as explain
from projects.ts_anomaly.explain.channels import because, deletion_gain, nearest_normal, occlusion, without
from shared.errors import UserError
from tests.ts_anomaly.conftest import wave


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


@pytest.mark.parametrize(("shown", "size"), [(6, 1), (7, 3)])
def test_occlusion_is_the_fall_of_the_last_score_without_each_piece(detector, shown, size):
    values = wave(120, 6)
    values[-3:] += 8
    fall = occlusion(detector, values, 0, shown=shown, size=size)
    whole = detector.score(values)[-1]
    for step in range(shown):
        first = 120 - shown + step // size * size
        places = np.arange(first, min(first + size, 120))
        changed = values.copy()
        line = np.interp(
            places, [first - 1, places[-1] + 1], [values[first - 1, 0], values[min(places[-1] + 1, 119), 0]]
        )
        changed[places, 0] = values[first - 1, 0] if places[-1] == 119 else line
        assert fall[step] == pytest.approx(whole - detector.score(changed)[-1], abs=1e-9)
    assert np.abs(fall).max() > 0.1


def test_a_line_over_deleted_steps_begins_and_ends_at_values_and_not_at_gaps():
    values = np.arange(10.0)[:, None] ** 2
    values[[3, 6]] = np.nan
    changed = without(values, 0, np.array([4, 5]))
    np.testing.assert_allclose(changed[[4, 5], 0], np.interp([4, 5], [2, 7], [4, 49]))
    np.testing.assert_array_equal(np.delete(changed, [4, 5]), np.delete(values, [4, 5]))


def test_deletion_takes_the_steps_of_largest_fall(detector):
    values = wave(120, 6)
    values[-2] += 10
    fall = np.zeros(8)
    fall[[1, 6]] = [0.5, 2.0]
    named, _ = deletion_gain(detector, values, 0, fall, count=2, seed=0)
    expected = detector.score(values)[-1] - detector.score(without(values, 0, np.array([113, 118])))[-1]
    assert named == pytest.approx(expected, abs=1e-9)


def test_the_command_names_what_was_put_in(model, tmp_path, capsys):
    values = wave(900, 2)
    values[860:862] += 20
    path = tmp_path / "other.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in values[:, 0]))
    told = explain(ExplainConfig(model=model, dataset=str(path), step=861, count=2))
    said = capsys.readouterr().out
    assert told.channel == 0 and "Step 861: a surprise of" in said and "Without steps 860, 861 it falls by" in said
    explain(ExplainConfig(model=model, dataset=str(path)))
    found = int(capsys.readouterr().out.split()[1].strip(":"))
    assert 860 <= found <= 890, "by default the largest score"
    for change, says in (({"step": 900}, "--step 900: must be from 65 to 899"), ({"count": 0}, "--count 0")):
        with pytest.raises(UserError, match=says):
            explain(ExplainConfig(model=model, dataset=str(path), **change))
    with pytest.raises(UserError, match="has 3 channels, the detector was trained on 1"):
        explain(ExplainConfig(model=model, dataset="multiDS"))
