"""Memory of long windows, caches, losses, mixed channels, and that it learns."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from projects.ts_anomaly.config import SMOKE, Config
from projects.ts_anomaly.data.series import Series
from projects.ts_anomaly.measure.scale import ONE
from projects.ts_anomaly.models.contrast import QUANTILES, Contrast, contrast_loss, pinball
from projects.ts_anomaly.models.detectors import HEADS, combined
from projects.ts_anomaly.models.encoder import Encoder, features, patched
from projects.ts_anomaly.models.interleaved import Reading, read
from projects.ts_anomaly.models.masked import Masked
from projects.ts_anomaly.train import fit, load_detector, validate
from projects.ts_anomaly.train import main as train
from shared.errors import UserError
from shared.seeding import generator
from tests.ts_anomaly.conftest import wave


@pytest.mark.slow
def test_windows_of_4096_tokens_take_less_than_a_gigabyte():
    for kind in ("sliding", "linear"):
        said = subprocess.run([sys.executable, "-c", ONE, kind, "4096"], capture_output=True, text=True, check=True)
        before, peak = map(float, said.stdout.split())
        assert peak < 1000 and peak - before < 200


def test_caches_give_what_the_whole_gives():
    torch.manual_seed(0)
    encoder = Encoder(patch=2, width=16, layers=3, heads=2, window=5).eval()
    for block in encoder.blocks:
        torch.nn.init.normal_(block.bias)
    tokens = patched(features(torch.randn(3, 60)), 2)
    whole, _ = encoder(tokens)
    cache, parts = None, []
    for piece in tokens.split([1, 7, 1, 1, 20], dim=1):
        states, cache = encoder(piece, cache)
        parts.append(states)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)
    assert all(key.shape[2] == 4 for key, _ in cache)


def test_a_state_depends_on_its_reach_and_no_further():
    torch.manual_seed(0)
    encoder = Encoder(patch=2, width=16, layers=2, heads=2, window=4).eval()
    values = torch.randn(1, 80)
    whole, _ = encoder(patched(features(values), 2))
    last, reach = 79, encoder.reach
    for place, same in ((last - reach, False), (last - reach - 1, True)):
        changed = values.clone()
        changed[0, place] += 3
        other, _ = encoder(patched(features(changed), 2))
        assert torch.equal(other[0, -1], whole[0, -1]) is same


@pytest.mark.parametrize("sizes", [[37], [1] * 37, [3, 4, 5, 25], [8, 29]])
def test_reading_in_any_pieces_is_reading_at_once(sizes):
    torch.manual_seed(0)
    model, values = Contrast(4, 16, 2, 4, 3).eval(), np.random.default_rng(0).standard_normal((2, 37))
    whole = read(model, values, Reading.new(4))
    state, at, parts = Reading.new(4), 0, []
    for size in sizes:
        parts.append(read(model, values[:, at : at + size], state))
        at += size
    for name in ("logit", "near", "far"):
        np.testing.assert_allclose(
            np.concatenate([getattr(p, name) for p in parts], 1), getattr(whole, name), atol=2e-5
        )


def test_residuals_are_of_the_point_and_of_the_forecast_before_it():
    torch.manual_seed(0)
    model, values = Contrast(4, 16, 1, 4, 3).eval(), np.random.default_rng(1).standard_normal((1, 24))
    said = read(model, values, Reading.new(4))
    for t in (8, 13, 22):
        for ahead, name in ((1, "near"), (4, "far")):
            end = t - ahead  # the token that ends here forecast the point
            start = (end + 1) % 4
            judged, _ = model(torch.tensor(values[:, start : end + 1], dtype=torch.float32))
            low, middle, high = judged.forecast[0, -1, ahead - 1].tolist()
            expected = (math.asinh(values[0, t]) - middle) / ((high - low) / 2 + 0.02)
            assert getattr(said, name)[0, t] == pytest.approx(expected, rel=1e-4)


def test_the_pinball_loss_is_least_at_the_quantile():
    values = torch.randn(20_000, generator=generator(0))
    for place, level in enumerate(QUANTILES):
        forecast = values.quantile(torch.tensor(QUANTILES)).repeat(20_000, 1)
        least = float(pinball(forecast, values).mean())
        for moved in (-0.1, 0.1):
            other = forecast.clone()
            other[:, place] += moved
            assert float(pinball(other, values).mean()) > least, level
    assert float(pinball(torch.zeros(1, 3), torch.tensor([1.0]))) == pytest.approx(sum(QUANTILES) / 3)


def test_quantiles_are_in_order_and_forecast_learns_only_from_normal_points():
    model = Contrast(4, 16, 1, 4, 3)
    values = torch.randn(2, 32)
    judged, _ = model(values)
    assert (judged.forecast.diff(dim=-1) > 0).all()
    labels = torch.zeros(2, 32)
    labels[:, 8:16] = 1
    one, _ = contrast_loss(judged, values, labels)
    changed = values.clone()
    changed[:, 8:16] += 100
    other, _ = contrast_loss(judged, changed, labels)
    assert float(one.detach()) == pytest.approx(float(other.detach()))
    gaps = values.clone()
    gaps[:, 20:24] = torch.nan
    assert torch.isfinite(contrast_loss(model(gaps)[0], gaps, labels)[0])


def test_the_judging_head_moves_itself_alone():
    model, labels = Contrast(4, 16, 1, 4, 3), torch.zeros(2, 32)
    labels[:, 8:12] = 1
    values = torch.randn(2, 32)
    forecast, judged = contrast_loss(model(values)[0], values, labels)
    moved = lambda loss, part: torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)  # noqa: E731
    assert all(each is None for part in (model.encoder, model.quantiles) for each in moved(judged, part))
    assert all(each is not None for each in moved(judged, model.judge))
    assert all(each is not None for each in moved(forecast, model.encoder))
    assert all(each is None for each in moved(forecast, model.judge))


def test_trimming_leaves_out_the_worst_sequences():
    model = Contrast(4, 16, 1, 4, 3)
    values = torch.randn(4, 32)
    values[3] *= 100
    judged, _ = model(values)
    whole, trimmed = (contrast_loss(judged, values, torch.zeros(4, 32), trim=trim)[0] for trim in (0.0, 0.25))
    best = torch.stack(
        [contrast_loss(model(values[n : n + 1])[0], values[n : n + 1], torch.zeros(1, 32))[0] for n in range(3)]
    )
    assert float(trimmed.detach()) == pytest.approx(float(best.mean().detach()), rel=1e-4) and trimmed < whole


def test_masked_patches_are_not_seen():
    torch.manual_seed(0)
    model = Masked(32, 4, 16, 2).eval()
    values, hide = torch.randn(1, 32), torch.zeros(1, 8, dtype=torch.bool)
    hide[0, 3] = True
    changed = values.clone()
    changed[0, 12:16] += 5
    assert torch.equal(model(values, hide), model(changed, hide))
    changed[0, 16] += 5
    assert not torch.equal(model(values, hide), model(changed, hide))


def test_surprise_of_several_kinds_is_more_than_of_one():
    surprise = np.array([[[3.0], [0.0], [0.0], [0.0]], [[2.9], [2.9], [2.9], [0.0]]])
    assert combined(surprise)[0] == pytest.approx(2.9 * 3**0.25) and len(HEADS) == 4


# ---------------------------------------------------------------- training


@pytest.mark.slow
def test_it_learns_what_an_anomaly_is_and_the_same_again_from_its_seed():
    series = Series("wave", wave(2500), None, 1200, 1800, period=20)
    config = Config(steps=60, batch=4, sequence=128, window=16, width=16, layers=1, lr=5e-3)
    one, other = (fit(config, series)[0] for _ in range(2))
    assert validate(one, series) > 0.45
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name])


def test_a_run_is_saved_and_loaded_to_the_same_scores(tmp_path):
    path = tmp_path / "wave.csv"
    path.write_text("v\n" + "".join(f"{value}\n" for value in wave(900)[:, 0]))
    for arm in ("contrast", "masked"):
        metrics = train(replace(SMOKE, arm=arm, dataset=str(path), out=tmp_path / arm))
        detector = load_detector(tmp_path / arm)
        assert 0 <= metrics.validation <= 1 and np.isfinite(detector.score(wave(200))[100:]).all()
    weights = next((tmp_path / "contrast" / "checkpoints").glob("*/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError):
        load_detector(tmp_path / "contrast")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 6}, "--width"),
        ({"sequence": 510, "patch": 4}, "--sequence"),
        ({"trim": 0.95}, "--trim"),
        ({"steps": 0}, "--steps"),
    ],
)
def test_settings_that_cannot_work_are_one_line(change, says):
    with pytest.raises(UserError, match=says):
        replace(Config(), **change)


def test_too_short_a_series_is_one_line(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("v\n" + "1\n2\n" * 20)
    with pytest.raises(UserError, match="has 40 rows, of at least 64"):
        train(Config(dataset=str(path), out=tmp_path / "run"))


# ---------------------------------------------------------------- channels mixed


@pytest.fixture(scope="module")
def mixed():
    series = Series("waves", wave(1400, channels=3), None, 400, 700, period=20)
    return fit(replace(SMOKE, arm="mixed"), series)[0], series


def test_a_mixed_stream_says_what_a_batch_says_and_nothing_changes_when_the_future_does(mixed):
    detector, series = mixed
    values = series.values[700:960].copy()
    values[40:43, 1] = np.nan
    whole, stream = detector.score(values), detector.stream()
    np.testing.assert_allclose([stream.push(row) for row in values], whole, rtol=1e-4, atol=1e-5)
    changed = values.copy()
    changed[150:] = 7.0
    np.testing.assert_array_equal(detector.score(changed)[:150], whole[:150])
    state = detector.begin()
    parts = [detector.push(each, state) for each in np.split(values, [1, 9, 60, 61, 200])]
    np.testing.assert_allclose(np.concatenate(parts)[4:], whole[4:], rtol=1e-4, atol=1e-5)


def test_mixed_channels_see_each_other_and_independent_ones_do_not(mixed, trained):
    from projects.ts_anomaly.models.detectors import PatchTransformer

    detector, series = mixed
    alone = PatchTransformer(trained.model).fit(series.prefix)
    values = series.values[700:800]
    changed = values.copy()
    changed[50:, 2] += 3.0
    for each, seen in ((detector, True), (alone, False)):
        one, other = (each.evidence(part)[0, :2] for part in (values, changed))
        assert (np.nanmax(np.abs(one - other)) > 1e-4) == seen


def test_groups_of_channels_are_not_confused_in_a_batch():
    torch.manual_seed(0)
    model = Contrast(4, 16, 1, 4, 8, channels=3).eval()
    rows = torch.randn(6, 40)
    both, _ = model(rows)
    for group in (rows[:3], rows[3:]):
        own, _ = model(group)
        at = slice(0, 3) if group is rows[:3] or torch.equal(group, rows[:3]) else slice(3, 6)
        for name in ("logits", "residuals", "forecast"):
            torch.testing.assert_close(getattr(own, name), getattr(both, name)[at], rtol=1e-4, atol=1e-5)
    forecast = both.forecast
    assert forecast.shape == (6, 10, 4, 3) and (forecast[..., 0] <= forecast[..., 1]).all()


def test_what_is_joined_for_a_group_comes_apart_again():
    from projects.ts_anomaly.models.contrast import _apart, _together

    rows = torch.randn(6, 5, 4)
    torch.testing.assert_close(_apart(_together(rows, 3), 3), rows)
    assert torch.equal(_together(rows, 3)[1, 2, 4:8], rows[4, 2]), "the second group's second channel"


def test_a_mixed_run_is_loaded_again_with_its_channels(tmp_path):
    path = tmp_path / "three.csv"
    lines = [",".join(f"{value:.4f}" for value in row) for row in wave(800, channels=3)]
    path.write_text("\n".join(["a,b,c", *lines]))
    train(replace(SMOKE, arm="mixed", dataset=str(path), out=tmp_path / "run"))
    again = load_detector(tmp_path / "run")
    assert again.model.channels == 3 and np.isfinite(again.score(wave(100, 5, channels=3))[20:]).all()


def test_a_mixed_detector_refuses_other_channels_in_one_line(mixed):
    from projects.ts_anomaly.monitor.watch import WatchConfig, warmed

    with pytest.raises(UserError, match="mixes 3 channels; the series has 2"):
        warmed(mixed[0], wave(300, channels=2), WatchConfig())


def test_anomalies_of_a_mixed_batch_are_in_one_channel_of_a_group():
    from projects.ts_anomaly.train import sequences_of

    config = replace(SMOKE, arm="mixed", batch=6)
    sequences, labels = sequences_of(config, wave(400, channels=3), np.random.default_rng(0))
    assert sequences.shape == labels.shape == (18, 64)
    hit = labels.reshape(6, 3, 64).amax(2).sum(1)
    assert hit.max() == 1 and hit.sum() >= 2
