"""Every table of the README comes from a file in results/, and the files agree with each other."""

import pytest

from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.study import ARMS, BENCH, RESULTS, SEEDS, StudyConfig, views
from shared.report import mean_sd, read_csv, stale_tables


def table(name):
    return read_csv(RESULTS / f"{name}.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, {**views(RESULTS), "bench": (BENCH, table("bench"))}) == []


def test_the_study_starts_from_the_default_configuration():
    assert StudyConfig().base == Config(pairs=1200, iterations=25, held_out=128, out=RESULTS)


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
