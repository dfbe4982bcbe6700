"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest

from projects.adapters.arms import ARMS
from projects.adapters.config import method
from projects.adapters.convergence import time_to_reach
from projects.adapters.initialisation import RATES as INIT_RATES
from projects.adapters.initialisation import SEEDS as INIT_SEEDS
from projects.adapters.initialisation import SETTINGS
from projects.adapters.models.adapter import adapter_parameters
from projects.adapters.study import ENTITIES, OTHER_BOTTLENECKS, OWN, RATES, RESULTS, SEEDS, TEXTS, views
from shared.report import mean_sd, read_csv, stale_tables


@pytest.fixture
def runs():
    return read_csv(RESULTS / "runs.csv")


def table(name):
    return read_csv(RESULTS / f"{name}.csv")


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def assert_same(recomputed, written):
    for mine, row in zip(recomputed, written, strict=True):
        assert mine.keys() == row.keys()
        assert all(row[key] == (pytest.approx(v) if isinstance(v, float) else v) for key, v in mine.items())


def grouped(rows, *names):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def test_the_summaries_are_those_of_the_runs(runs):
    final = [{**row, "method": method(row["arm"], row["size"])} for row in runs if row["final"]]
    groups = grouped(final, "dataset", "method")
    summary = table("parameters_accuracy")
    assert len(groups) == len(summary)
    for row in summary:
        mine = groups[row["dataset"], row["method"]]
        same = {name: mine[0][name] for name in ("trained", "lr")}
        share = mine[0]["trained"] / mine[0]["parameters"]
        found = {**mean_sd(mine, "score", "accuracy", "macro_f1"), **same, "seeds": len(mine), "share": share}
        assert_same([found], [{name: row[name] for name in found}])
    assert summary == sorted(summary, key=lambda row: (row["dataset"], row["trained"], row["method"]))
    groups = grouped(table("init"), "setting", "lr")
    assert list(groups) == [(row["setting"], row["lr"]) for row in table("init_summary")]
    for row, mine in zip(table("init_summary"), groups.values(), strict=True):
        diverged = sum(each["diverged"] for each in mine) / len(mine)
        found = {**mean_sd(mine, "deviation", "loss_after"), "seeds": len(mine), "diverged": diverged}
        assert_same([found], [{name: row[name] for name in found}])
    assert_same(time_to_reach(runs, table("curves"), table("bench")), table("time_to_95"))


def test_every_run_of_the_plan_is_there(runs):
    """And no seed is there twice, nor one that is not planned."""
    seeds = {}
    for row in runs:
        if row["final"]:
            seeds.setdefault((row["dataset"], row["arm"], row["size"]), []).append(row["seed"])
    for found in seeds.values():
        assert len(set(found)) == len(found) and set(found) <= set(SEEDS)
    shown_beside = 3 + len(OTHER_BOTTLENECKS)  # from scratch on two tasks and on the entities; other sizes: one seed
    planned = (len(OWN) * len((*TEXTS, *ENTITIES)) + len(TEXTS) + 1) * len(SEEDS) + shown_beside  # LoRA; the library
    assert sum(map(len, seeds.values())) == planned


@pytest.mark.parametrize("dataset", TEXTS)
def test_what_is_reported_was_chosen_on_validation(runs, dataset):
    """The reported rate has the best validation score; the test was not asked."""
    arms = {**ARMS, "peer": ARMS["bottleneck"]} if dataset == "trec" else ARMS
    for arm, settings in arms.items():
        size = settings.get("bottleneck", 0)
        cells = [r for r in runs if (r["dataset"], r["arm"], r["size"], r["seed"]) == (dataset, arm, size, 0)]
        assert {r["lr"] for r in cells} == set(RATES["bottleneck" if arm == "peer" else arm])
        (reported,) = (r for r in cells if r["final"])
        assert reported["validation_score"] == max(r["validation_score"] for r in cells)


def test_no_arm_has_more_candidates_than_another():
    assert len({len(rates) for rates in RATES.values()}) == 1


def test_adapters_train_at_most_four_per_cent(runs):
    for row in runs:
        if row["arm"] in ("bottleneck", "parallel", "peer"):
            assert row["trained"] / row["parameters"] <= 0.04
            classes = {"trec": 6, "movie_reviews": 2}.get(row["dataset"], 9)
            norms, head = 6 * 2 * 2 * 384, classes * 385
            assert row["trained"] == 12 * adapter_parameters(384, row["size"]) + norms + head


def test_the_study_of_initialisations_is_whole():
    rows = table("init")
    assert len(rows) == len(SETTINGS) * len(INIT_RATES) * len(INIT_SEEDS)
    for row in rows:
        assert (row["deviation"] == 0) == row["setting"].endswith("up zero")
