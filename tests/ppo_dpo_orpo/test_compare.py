"""Comparisons by hand: a start and two methods whose answers, divergences and margins are known numbers."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest

from projects.ppo_dpo_orpo.analysis import accuracy, compare
from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.data import Pair
from shared.study import Done

PROMPTS = [f"prompt {n}" for n in range(6)]


@dataclass(frozen=True)
class Measured(Done):
    """A measurement of known numbers, without a log."""

    source: object = None
    numbers: dict = field(default_factory=dict)

    def values(self, metric):
        return self.numbers.get(metric, [])

    @property
    def items(self):
        return [{"prompt": prompt, "film": prompt, "response": f"{self.name} says {prompt}"} for prompt in PROMPTS]


def answered(name, config, gold, kl, words=4):
    count = len(PROMPTS)
    numbers = {"gold": list(gold), "kl": [kl] * count, "words": [words] * count, "repeated": [0.0] * count}
    return Measured(name, config, numbers=numbers)


def pair(text, chosen, rejected):
    told = {"split": "test", "group": text, "template": "{}", "opening": text, "text": text}
    return Pair(**told, chosen=chosen, rejected=rejected, margin=0.5)


@pytest.fixture
def found():
    """The start scores 0 to 5; DPO gains 1 at 1 nat and 2 at 4 nats, ORPO 0.5 at 0.25 nats and 1 at 2.25."""
    start = np.arange(6.0)
    log = SimpleNamespace(
        log=SimpleNamespace(records=[{"step": 20, "core_seconds": 50.0}, {"step": 40, "core_seconds": 90.0}])
    )
    made = compare.Found(
        {seed: answered(f"start{seed}", Config(), start, 0.0) for seed in (0, 1)},
        answered("pairs", Config(), start, 0.0),
        answered("news", Config(), start, 0.0),
    )
    sides = {"chosen": [-1.0] * 12, "rejected": [-3.0] * 12}
    points = {"dpo": {20: (1.0, 1.0), 40: (2.0, 4.0)}, "orpo": {20: (0.5, 0.25), 40: (1.0, 2.25)}}
    for method, steps in points.items():
        group = []
        for seed in (0, 1):
            config = Config(method=method, seed=seed, steps=40)
            done = Measured(f"{method}{seed}", config, log, numbers=sides)
            for step, (gain, kl) in steps.items():
                made.answers[done.name, step] = answered(f"{done.name}-{step}", config, start + gain, kl)
            group.append(done)
        made.trained[method, "lora"] = group
    return made


def test_a_gain_is_over_the_starts_answers_to_the_same_prompts_with_the_same_seed(found):
    found.start[1] = answered("start1", Config(), np.arange(6.0) - 1, 0.0)
    assert compare.gains(found, found.trained["dpo", "lora"], 20).tolist() == [[1.0] * 6, [2.0] * 6]


def test_a_constant_gain_has_an_interval_of_no_width(found):
    row = compare.at_steps(found, last=True)[1]
    assert (row["method"], row["gain"], row["gain_low"], row["gain_high"]) == ("dpo", 2.0, 2.0, 2.0)
    assert (row["core_seconds"], row["kl"], row["gold"], row["holm"]) == (
        90.0,
        4.0,
        4.5,
        pytest.approx(0.0004, abs=1e-4),
    )


def test_what_a_method_asked_the_judge_until_a_step_is_told(found):
    asked = SimpleNamespace(records=[{"step": 20, "judge_calls": 160}, {"step": 40, "judge_calls": 320}])
    (done, _) = found.trained["dpo", "lora"]
    assert compare.spent(done, 40, "judge_calls") == 0, "labels were enough"
    assert compare.spent(replace(done, source=SimpleNamespace(log=asked)), 30, "judge_calls") == 160


def test_ppo_alone_is_taken_at_its_first_checkpoint_where_seconds_are_equal(found):
    group = found.trained.pop(("orpo", "lora"))
    found.trained["ppo", "lora"] = [replace(done, config=Config(method="ppo", seed=done.config.seed)) for done in group]
    rows = {row["method"]: row for row in compare.at_steps(found, last=False)}
    assert (rows["dpo"]["step"], rows["ppo"]["step"], rows["ppo"]["core_seconds"]) == (40, 20, 50.0)


def test_at_equal_divergence_gains_lie_on_the_line_over_the_root(found):
    *first, last = compare.equal_kl(found)
    rows = {row["method"]: row for row in first}
    assert rows["dpo"]["kl"] == rows["orpo"]["kl"] == 2.25, "as far as the nearest of them went"
    assert (last["method"], last["kl"], last["gain"]) == ("dpo", 4.0, 2.0), "and as far as half of them went"
    assert rows["dpo"]["gain"] == 1.5 and rows["orpo"]["gain"] == 1.0
    assert (rows["dpo"]["gain_low"], rows["dpo"]["gain_high"]) == (1.5, 1.5)


def test_a_cell_is_not_asked_beyond_where_it_went(found):
    (done, _) = found.trained["orpo", "lora"]
    with pytest.raises(ValueError, match="no checkpoints around 3 nats"):
        compare.gains_at(found, done, 3.0)


def test_contrasts_pair_methods_of_one_kind_and_kinds_of_one_method():
    keys = [("dpo", "lora"), ("ppo", "lora"), ("dpo", "adapter"), ("ppo", "adapter")]
    named = [f"{' '.join(one)} / {' '.join(two)}" for one, two in compare.contrasts(keys)]
    lora, adapter = "dpo lora / ppo lora", "dpo adapter / ppo adapter"
    assert named == [lora, "dpo lora / dpo adapter", "ppo lora / ppo adapter", adapter]


def test_the_gap_between_methods_is_paired(found):
    (row,) = compare.against_each_other(found)
    assert (row["one"], row["other"], row["gap"], row["low"], row["high"]) == ("dpo lora", "orpo lora", 1.0, 1.0, 1.0)


def test_accuracy_is_of_films_and_its_clearer_half_by_the_judges_margin(found):
    right, margin = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.3, 0.2, 0.1]
    numbers = {"right": right, "judge_margin": margin}
    found.trained.pop(("orpo", "lora"))
    for done in found.trained["dpo", "lora"]:
        found.pairs[done.name] = replace(done, config=SimpleNamespace(step=40), numbers=numbers)
    found.trained["ppo", "lora"] = [replace(done, numbers={}) for done in found.trained["dpo", "lora"]]
    row, ppo = accuracy.accuracy(found, [])
    assert ppo["chosen"] == ppo["rejected"] == "", "PPO saw no pairs"
    assert (row["right"], row["clear"], row["chosen"], row["rejected"]) == (0.5, 1.0, -1.0, -3.0)
    assert row["right_low"] < 0.5 < row["right_high"]


def test_the_worst_errors_are_those_with_the_most_negative_margin(found):
    pairs = [pair(prompt, f"good\n {number}", f"bad {number}") for number, prompt in enumerate(PROMPTS)]
    for done, margins in zip(found.trained["dpo", "lora"], ([1, -4, 2, 3, -1, 0], [1, -2, 2, 3, -5, 0]), strict=True):
        found.pairs[done.name] = replace(done, numbers={"margin": margins})
    rows = accuracy.worst(found, pairs, count=2)
    assert [(row["prompt"], row["margin"]) for row in rows] == [("prompt 1", -3.0), ("prompt 4", -3.0)]
    assert rows[0]["chosen"] == "good 1"


def test_the_tax_is_the_perplexity_of_the_mean_nats(found):
    found.trained.pop(("orpo", "lora"))
    found.start_news = replace(found.start_news, numbers={"nats": [2.0, 3.0]})
    for done in found.trained["dpo", "lora"]:
        found.news[done.name] = replace(done, numbers={"nats": [2.1, 3.1]})
    before, after = compare.tax(found)
    assert before["perplexity"] == pytest.approx(np.exp(2.5), abs=1e-4) and after["gap"] == pytest.approx(0.1)


def test_films_are_resampled_and_not_their_pairs():
    """Fifty pairs of each of two films, one all right and one all wrong: that is two observations."""
    row = accuracy.right([1.0] * 50 + [0.0] * 50, ["one"] * 50 + ["other"] * 50)
    assert (row["pairs"], row["right"], row["right_low"], row["right_high"]) == (100, 0.5, 0.0, 1.0)


def test_the_gain_at_equal_length_is_by_words(found):
    """Each word more is a point more, and nothing else is gained: at equal length there is no gain."""
    for done in found.trained["dpo", "lora"]:
        cell, more = found.answers[done.name, 40], np.arange(6.0)
        numbers = {**cell.numbers, "gold": list(np.arange(6.0) + more), "words": list(4 + more)}
        found.answers[done.name, 40] = replace(cell, numbers=numbers)
    dpo = compare.at_steps(found, last=True)[1]
    assert dpo["gain"] == 2.5 and dpo["length_controlled"] == pytest.approx(0)


def test_p_values_of_the_rows_are_holms(found):
    rows = compare.at_steps(found, last=True)[1:]
    assert [row["holm"] for row in rows] == [round(p, 4) for p in compare.holm([row["p"] for row in rows])]
    assert rows[0]["holm"] == pytest.approx(2 * rows[0]["p"], abs=1e-4)
