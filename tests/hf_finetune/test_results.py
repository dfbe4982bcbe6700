"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest
from scipy.stats import permutation_test

from projects.hf_finetune.evaluation.baseline import STRENGTHS
from projects.hf_finetune.experiments import GAMMAS, RATES, SHARES
from projects.hf_finetune.tables import (
    ARMS,
    README,
    bench_markdown,
    faults_markdown,
    results_markdown,
    sign_flip_p,
    summarise,
)
from shared.report import between_marks, read_csv

RESULTS = README.parent / "results"


@pytest.fixture
def runs():
    return read_csv(RESULTS / "runs.csv")


def test_the_readmes_tables_are_those_of_the_files():
    summary, baselines = read_csv(RESULTS / "summary.csv"), read_csv(RESULTS / "baseline.csv")
    assert between_marks(README, "results") == results_markdown(summary, baselines)
    assert between_marks(README, "faults") == faults_markdown(read_csv(RESULTS / "faults.csv"))
    assert between_marks(README, "bench") == bench_markdown(read_csv(RESULTS / "bench.csv"))


def test_the_summary_is_that_of_the_runs(runs):
    recomputed = summarise(row for row in runs if row["final"])
    for mine, written in zip(recomputed, read_csv(RESULTS / "summary.csv"), strict=True):
        assert mine.keys() == written.keys()
        for key, value in mine.items():
            assert written[key] == (pytest.approx(value) if isinstance(value, float) else value)


def test_every_arm_has_the_same_seeds(runs):
    seeds = {arm: sorted(r["seed"] for r in runs if r["final"] and r["arm"] == arm) for arm in ARMS}
    assert all(found == list(range(len(found))) and len(found) >= 3 for found in seeds.values())
    assert len(set(map(tuple, seeds.values()))) == 1


def test_what_is_reported_was_chosen_on_validation(runs):
    """Of each arm's candidates the reported one has the best validation score; the test score was not asked."""
    first = [r for r in runs if r["seed"] == 0]
    for arm, column, candidates in (("plain", "lr", RATES), ("mixout", "mixout", SHARES), ("AWP", "awp", GAMMAS)):
        tried = [r for r in first if r["arm"] == arm]
        assert sorted(r[column] for r in tried) == sorted(candidates)
        (reported,) = (r for r in tried if r["final"])
        assert reported["validation_macro_f1"] == max(r["validation_macro_f1"] for r in tried)


def test_no_baseline_stands_at_the_edge_of_its_candidates():
    assert all(min(STRENGTHS) < row["C"] < max(STRENGTHS) for row in read_csv(RESULTS / "baseline.csv"))


def test_the_broken_runs_took_every_step_in_smaller_pieces(runs):
    (plain,) = (r for r in runs if r["final"] and r["arm"] == "plain" and r["seed"] == 0)
    broken = read_csv(RESULTS / "faults.csv")
    assert len(broken) == 4
    assert all((row["steps"], row["micro_batch"]) == (plain["steps"], 8) for row in broken)


@pytest.mark.parametrize("pairs", [[0.1, 0.2, -0.05, 0.3, 0.1], [1.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
def test_the_paired_test_is_scipys(pairs):
    theirs = permutation_test(
        (pairs,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=10_000
    )
    assert sign_flip_p(pairs) == pytest.approx(theirs.pvalue)
