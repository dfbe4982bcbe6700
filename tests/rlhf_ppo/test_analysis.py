"""Baselines find a bias that was planted, intervals cover, and figures are drawn from a log."""

import json
import random

import pytest

from projects.rlhf_ppo.analysis import bias, metrics_rl
from projects.rlhf_ppo.data.preferences import Preference
from shared.errors import UserError

SPLITS = ["train"] * 60 + ["validation"] * 20 + ["test"] * 40
WORDS = "film story plot actors scene music light ending".split()  # noqa: SIM905


def pairs_where(prefers_a, seed=0):
    draw = random.Random(seed)
    pairs = []
    for split in SPLITS:
        a, b = (" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in "ab")
        side = "a" if prefers_a(a, b, draw) else "b"
        pairs.append(Preference(split=split, prompt="The", a=a, b=b, preferred=side, gold_a=0.0, gold_b=0.0))
    return pairs


def share(found, name):
    return next(each["right"] / each["asked"] for each in found if each["decider"] == name)


def test_a_bias_for_length_is_found_by_length_alone():
    found = bias.baselines(pairs_where(lambda a, b, _: len(a) > len(b)))
    assert share(found, "length of the response") > 0.9
    assert share(found, "first word of the response") < 0.75


def test_a_bias_for_an_opening_is_found_by_the_first_word():
    found = bias.baselines(pairs_where(lambda a, b, _: a.split()[0] < b.split()[0]))
    assert share(found, "first word of the response") > 0.8
    assert share(found, "length of the response") < 0.75


def test_where_nothing_decides_every_baseline_is_near_chance():
    found = bias.baselines(pairs_where(lambda a, b, draw: draw.random() < 0.5))
    assert len(found) == 3 and all(0.25 < each["right"] / each["asked"] < 0.75 for each in found)


def test_wilson_by_hand():
    low, high = bias.wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert bias.wilson(0, 5)[0] == pytest.approx(0, abs=1e-12)
    row = {"decider": "judge", "right": 8, "asked": 10, "share": 0.8, "low": 0.4902, "high": 0.9433}
    assert bias.share("judge", 8, 10) == row


def log_of(rounds):
    names = [*metrics_rl.PLOTTED, "gold_gain"]
    return [{"step": i, **{name: 0.1 * i + len(name) for name in names}} for i in range(1, rounds + 1)]


def test_a_runs_curves_are_drawn_from_its_log(tmp_path):
    lines = [json.dumps(record) for record in [{"run": "x"}, *log_of(4), {"step": 4, "after_gold": 1.0}]]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert [point["iteration"] for point in metrics_rl.read_log(tmp_path)] == [1, 2, 3, 4]
    (figure,) = metrics_rl.main(metrics_rl.PlotConfig(run=tmp_path))
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("text", "message"), [("", "no round"), ('{"step": 1, "pro', ":1: no JSON")])
def test_a_log_without_rounds_or_cut_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match="is not there"):
        metrics_rl.read_log(tmp_path)
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UserError, match=message):
        metrics_rl.read_log(tmp_path)


def test_the_mean_of_seeds_ends_where_the_shortest_does():
    seeds = {0: [(1, 1.0), (2, 3.0), (3, 9.0)], 1: [(1, 3.0), (2, 5.0)]}
    assert metrics_rl.mean_curve(seeds) == [(1, 2.0), (2, 4.0)]


def test_bins_are_means_over_rounds_of_like_divergence():
    points = [{"kl": kl, "proxy": kl} for kl in (4.0, -0.1, 1.0, 9.0)]
    roots, gains = metrics_rl.binned(points, "proxy", size=2)
    assert roots == [0.5, 2.5]
    assert gains == pytest.approx([0.45, 6.5])
