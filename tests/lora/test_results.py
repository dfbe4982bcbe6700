"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest

from projects.lora.experiments import RANKS, RATIOS, SEEDS
from projects.lora.tables import (
    README,
    bench_markdown,
    markdown,
    method,
    pruning_markdown,
    summarise,
)
from shared.report import between_marks, read_csv

RESULTS = README.parent / "results"


@pytest.fixture
def runs():
    return read_csv(RESULTS / "runs.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert between_marks(README, "results") == markdown(read_csv(RESULTS / "summary.csv"))
    assert between_marks(README, "bench") == bench_markdown(read_csv(RESULTS / "bench.csv"))
    assert between_marks(README, "pruning") == pruning_markdown(read_csv(RESULTS / "pruning_quant.csv"))


def test_the_summary_is_that_of_the_runs(runs):
    recomputed = summarise(row for row in runs if row["final"])
    for mine, written in zip(recomputed, read_csv(RESULTS / "summary.csv"), strict=True):
        assert mine.keys() == written.keys()
        assert all(
            written[key] == (pytest.approx(value) if isinstance(value, float) else value) for key, value in mine.items()
        )


def test_every_method_has_every_seed(runs):
    seeds = {}
    for row in runs:
        if row["final"]:
            seeds.setdefault(method(row), []).append(row["seed"])
    assert len(seeds) == 7
    assert all(sorted(found) == list(SEEDS) for found in seeds.values())


def test_what_is_reported_was_chosen_on_validation(runs):
    """Of each rank's ratios the reported one has the best validation accuracy; the test accuracy was not asked."""
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
