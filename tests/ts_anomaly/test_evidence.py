"""From what the model says to one score: energy and level by their definitions, tails of what validates, both sides."""

import math

import numpy as np
import pytest

from projects.ts_anomaly.models.detectors import HEADS, LONG, SHORT, TRAINED, UNTRAINED, PatchTransformer
from projects.ts_anomaly.models.interleaved import Reading, read
from projects.ts_anomaly.scoring.tails import Tail
from tests.ts_anomaly.conftest import wave


def test_energy_and_level_are_the_means_of_what_is_known_of_the_last_points(detector):
    values = wave(160, 3)
    values[40:49], values[70:80:2] = np.nan, np.nan
    values[100:] -= 6
    values[130] += 60
    said = read(detector.model, np.ascontiguousarray(detector.scaler(values).T), Reading.new(detector.model.patch))
    logit, near, energy, level = detector.evidence(values)[0]
    assert (SHORT, LONG) == (16, 24) and HEADS == ("logit", "near", "energy", "level")
    for t in range(160):
        last = said.near[0, max(0, t - 15) : t + 1]
        last = np.minimum(np.abs(last[~np.isnan(last)]), 4.0)
        expected = math.log(last.mean() + 0.01) if len(last) >= 8 else math.nan
        assert energy[t] == pytest.approx(expected, nan_ok=True), t
        last = said.far[0, max(0, t - 23) : t + 1]
        last = np.clip(last[~np.isnan(last)], -100, 100)
        expected = abs(last.mean()) if len(last) >= 12 else math.nan
        assert level[t] == pytest.approx(expected, nan_ok=True), t
    np.testing.assert_array_equal(logit, said.logit[0])
    np.testing.assert_array_equal(near, np.abs(said.near[0]))
    assert np.nanmax(np.abs(said.near)) > 4 and np.isnan(energy[47:49]).any() and np.nanmin(said.far[0, 100:]) < -1


def test_tails_are_of_the_part_that_validates_alone(detector, series):
    detector.calibrate(series.known, series.fit)
    evidence, grid = detector.evidence(series.known)[0, :, series.fit :], np.linspace(-10, 30, 400)
    for place, (above, below) in enumerate(detector.tails[0]):
        np.testing.assert_array_equal(above.surprise(grid), Tail.fit(evidence[place]).surprise(grid))
        assert (below is not None) == (HEADS[place] == "energy")
        if below is not None:
            np.testing.assert_array_equal(below.surprise(grid), Tail.fit(-evidence[place]).surprise(grid))


def test_residuals_that_are_too_small_are_as_surprising_as_those_that_are_too_large(detector):
    evidence = np.zeros((1, 4, 5))
    low, high = (float(np.quantile(detector.tails[0][2][0].ranks, share)) for share in (0.001, 0.999))
    evidence[0, 2] = [low - 3, low, np.median(detector.tails[0][2][0].ranks), high + 3, np.nan]
    found = detector.judge(evidence)[0, 2]
    above, below = detector.tails[0][2]
    np.testing.assert_array_equal(
        found[:4], np.fmax(above.surprise(evidence[0, 2]), below.surprise(-evidence[0, 2]))[:4]
    )
    assert found[0] > found[1] > 1.5 and found[2] < 0.5 and found[3] > 1.5 and found[4] == 0


def test_kinds_of_evidence_that_do_not_count_have_no_surprise(detector):
    other = PatchTransformer(detector.model, UNTRAINED)
    other.scaler, other.tails = detector.scaler, detector.tails
    evidence = detector.evidence(wave(80, 4))
    np.testing.assert_array_equal(other.judge(evidence)[:, 1:], detector.judge(evidence)[:, 1:])
    assert not other.judge(evidence)[:, 0].any() and detector.judge(evidence)[:, 0].any() and TRAINED == HEADS
