"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest
from scipy.stats import permutation_test

from projects.hf_finetune.config import ARMS
from projects.hf_finetune.evaluation.baseline import STRENGTHS
from projects.hf_finetune.evaluation.metrics import sign_flip_p
from projects.hf_finetune.study import GAMMAS, RATES, RESULTS, SCORES, SHARES, views
from shared.report import mean_sd, read_csv, stale_tables


@pytest.fixture
def runs():
    return read_csv(RESULTS / "runs.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def test_the_summary_is_that_of_the_runs(runs):
    final = {arm: [row for row in runs if row["final"] and row["arm"] == arm] for arm in ARMS}
    summary = read_csv(RESULTS / "summary.csv")
    assert [row["arm"] for row in summary] == list(ARMS)
    for row in summary:
        mine = final[row["arm"]]
        gains = [one["macro_f1"] - other["macro_f1"] for one, other in zip(mine, final["plain"], strict=True)]
        assert [one["seed"] for one in mine] == [other["seed"] for other in final["plain"]]
        found = {**mean_sd(mine, *SCORES), "seeds": len(mine), "gain_macro_f1": sum(gains) / len(gains)}
        found |= {f"worst_{name}": min(each[name] for each in mine) for name in ("macro_f1", "accuracy")}
        found |= {name: mine[0][name] for name in ("lr", "awp", "mixout")} | {"p_value": sign_flip_p(gains)}
        assert {name: row[name] for name in found} == pytest.approx(found)
        assert set(row) == {"arm", *found}
    plain = summary[0]
    for row in read_csv(RESULTS / "faults.csv"):
        assert row["off_in_sd"] == pytest.approx((row["macro_f1"] - plain["macro_f1"]) / plain["macro_f1_sd"])


def test_every_arm_has_the_same_seeds(runs):
    seeds = {arm: sorted(r["seed"] for r in runs if r["final"] and r["arm"] == arm) for arm in ARMS}
    assert all(found == list(range(len(found))) and len(found) >= 3 for found in seeds.values())
    assert len(set(map(tuple, seeds.values()))) == 1


def test_what_is_reported_was_chosen_on_validation(runs):
    """The reported candidate of each arm has the best validation score; the test score was not asked."""
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
