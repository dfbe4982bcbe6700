"""Every number of the README comes from a file in results/, and the files agree with each other."""

from dataclasses import replace

import pytest

from projects.lora.config import Config, method
from projects.lora.study import BENCH, RANKS, RATIOS, RESULTS, SEEDS, StudyConfig, views
from shared.report import mean_sd, read_csv, stale_tables


@pytest.fixture
def runs():
    return read_csv(RESULTS / "runs.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, {**views(RESULTS), "bench": (BENCH, read_csv(RESULTS / "bench.csv"))}) == []


def test_the_study_starts_from_the_default_configuration():
    assert StudyConfig().base == replace(Config(), out=RESULTS)


def test_the_summary_is_that_of_the_runs(runs):
    for row in read_csv(RESULTS / "summary.csv"):
        mine = [r for r in runs if r["final"] and name_of(r) == row["method"]]
        recomputed = {**mean_sd(mine, "accuracy", "macro_f1"), "seeds": len(mine), "trained": mine[0]["trained"]}
        assert recomputed == {name: pytest.approx(row[name]) for name in recomputed}
        assert row["share"] == mine[0]["trained"] / mine[0]["parameters"]


def name_of(row):
    return method(row["arm"], row["rank"], row["scaling"])


def test_every_method_has_every_seed(runs):
    seeds = {}
    for row in runs:
        if row["final"]:
            seeds.setdefault(name_of(row), []).append(row["seed"])
    assert len(seeds) == 7
    assert all(sorted(found) == list(SEEDS) for found in seeds.values())


def test_what_is_reported_was_chosen_on_validation(runs):
    """The reported ratio of each rank has the best validation accuracy; the test accuracy was not asked."""
    for rank in RANKS:
        cells = [r for r in runs if (r["arm"], r["rank"], r["scaling"], r["seed"]) == ("lora", rank, "alpha/r", 0)]
        rate = next(r["lr"] for r in cells if r["final"])
        candidates = [r for r in cells if r["lr"] == rate]
        assert {r["lr_ratio"] for r in candidates} == set(RATIOS)
        (reported,) = (r for r in candidates if r["final"])
        assert reported["validation_accuracy"] == max(r["validation_accuracy"] for r in candidates)


def test_lora_of_rank_16_trains_under_three_and_a_half_per_cent(runs):
    row = next(r for r in runs if r["final"] and r["arm"] == "lora" and r["rank"] == 16)
    assert row["trained"] / row["parameters"] < 0.035


def right(runs, **settings):
    """Validation questions that the run of these settings got right, of 550."""
    same = {"arm": "lora", "scaling": "alpha/r", "seed": 0, **settings}
    (row,) = (r for r in runs if all(r[name] == value for name, value in same.items()))
    count = 550 * row["validation_accuracy"]
    assert count == pytest.approx(round(count), abs=1e-3)  # or validation would not hold 550 questions
    return round(count)


def test_the_choices_rest_on_as_many_questions_as_the_readme_says(runs):
    text = " ".join((RESULTS / "README.md").read_text(encoding="utf-8").split())
    ahead = right(runs, rank=16, lr=1e-3, lr_ratio=1.0) - right(runs, rank=16, lr=5e-4, lr_ratio=1.0)
    assert f"1e-3 is ahead of 5e-4 by {ahead} question" in text
    one, four, sixteen = (
        {rank: right(runs, rank=rank, lr=1e-3, lr_ratio=ratio) for rank in (4, 16, 64)} for ratio in (1.0, 4.0, 16.0)
    )
    assert f"×4 is ahead by {four[16] - one[16]} questions at r = 16 and by {four[64] - one[64]} at r = 64" in text
    assert f"×1 by {one[4] - four[4]} at r = 4" in text
    behind = {rank: max(one[rank], four[rank]) - sixteen[rank] for rank in (4, 16, 64)}
    assert f"by {behind[4]} and {behind[16]} questions behind the best at r = 4 and 16, and by {behind[64]}" in text
