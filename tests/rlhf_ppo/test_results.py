"""Every table of the README comes from a file in results/, and the files agree with each other."""

import pytest

from projects.rlhf_ppo import tables
from projects.rlhf_ppo.experiments import ARMS, SEEDS
from shared.report import between_marks, mean_sd, read_csv


def table(name):
    return read_csv(tables.RESULTS / f"{name}.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert between_marks(tables.README, "summary") == tables.summary_markdown(table("summary"))
    assert between_marks(tables.README, "samples") == tables.samples_markdown(table("samples"))
    assert between_marks(tables.README, "judge") == tables.judge_markdown(table("judge"))
    assert between_marks(tables.README, "stretches") == tables.stretches_markdown(table("curves"))
    assert between_marks(tables.README, "deciders") == tables.deciders_markdown(table("deciders"))
    assert between_marks(tables.README, "bench") == tables.bench_markdown(table("bench"))


def test_every_run_of_the_plan_is_there():
    assert [(row["arm"], row["seed"]) for row in table("runs")] == [(arm, s) for arm in ARMS for s in SEEDS[arm]]
    for arm, settings in ARMS.items():
        for seed in SEEDS[arm]:
            rounds = [row["iteration"] for row in table("curves") if (row["arm"], row["seed"]) == (arm, seed)]
            assert rounds == list(range(1, settings.get("iterations", 25) + 1))


def test_the_summary_is_that_of_the_runs():
    for row in table("summary"):
        mine = [run for run in table("runs") if run["arm"] == row["arm"]]
        for name, value in mean_sd(mine, "after_gold", "after_kl", "after_distinct_2", "gain").items():
            if name in row:
                assert row[name] == pytest.approx(value, abs=1e-4)


def test_the_first_ratio_of_every_run_was_1():
    """The update evaluates what was sampled by the same forward pass: curves hold no divergence at the first round."""
    for row in table("curves"):
        if row["iteration"] == 1:
            assert row["kl"] == 0
