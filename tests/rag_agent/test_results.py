"""Every number of the README comes from a file in results/, and the files agree with each other."""

from typing import get_args

import pytest

from projects.rag_agent.config import Config
from projects.rag_agent.measure import Arm
from projects.rag_agent.questions import FACTS, SEARCHES
from projects.rag_agent.study import RESULTS, StudyConfig, plots, views
from shared.files import read_json
from shared.report import read_csv, stale_tables


@pytest.fixture(scope="module")
def read():
    return {path.stem: read_csv(path) for path in RESULTS.glob("*.csv")}


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def test_the_study_starts_from_the_default_configuration():
    assert StudyConfig().base == Config(out=RESULTS)


@pytest.mark.parametrize(
    ("kind", "minus", "digits"), [("reworded", "bm25", 3), ("reworded", "rrf", 4), ("other_words", "rrf", 3)]
)
def test_the_intervals_in_the_readmes_text_are_those_of_the_differences(kind, minus, digits, read):
    row = next(row for row in read["differences"] if (row["questions"], row["minus"]) == (kind, minus))
    low, high = (f"{row[name]:+.{digits}f}".replace("-", "−") for name in ("low", "high"))
    said = f"{row['mrr']:+.{digits}f}, {low} to {high}".replace("-", "−")
    said = said if kind == "reworded" else said.replace(", +", ", ").replace(" +", " ")
    assert said in " ".join((RESULTS / "README.md").read_text(encoding="utf-8").split())


def test_every_cell_of_the_design_is_there(read):
    assert [(r["questions"], r["method"]) for r in read["retrieval"]] == [
        (q, m) for q in SEARCHES for m in plots.METHODS
    ]
    assert [(r["arm"], r["kind"]) for r in read["answers"]] == [(arm, kind) for arm in get_args(Arm) for kind in FACTS]
    assert all(row["loads"] for row in read["crash"]) and len(read["crash"]) == 50


def test_what_is_reported_was_chosen_on_the_tuning_films(read):
    for method in ("rrf", "hybrid"):
        tried = [row for row in read["tuning"] if row["method"] == method]
        best = max(tried, key=lambda row: row["mrr"])
        reported = next(row for row in read["retrieval"] if row["method"] == method)
        assert (reported["weight"], reported["constant"]) == (best["weight"], best["constant"])


def test_the_defaults_are_what_was_chosen():
    chosen, config = read_json(RESULTS / "chosen.json"), Config()
    assert chosen == {name: getattr(config, name) for name in chosen}


def test_the_overall_scores_are_the_means_of_the_kinds(read):
    for row in read["answers_overall"]:
        mine = [r for r in read["answers"] if r["arm"] == row["arm"]]
        assert row["questions"] == sum(r["questions"] for r in mine)
        for name in ("exact", "f1", "named"):
            mean = sum(r[name] * r["questions"] for r in mine) / row["questions"]
            assert row[name] == pytest.approx(mean, abs=2e-6)


def test_no_answer_is_better_than_the_passages_allow(read):
    for row in read["answers"]:
        assert 0 <= row["exact"] <= row["named"] + 1e-9 <= 1 + 1e-9
        assert row["exact_low"] <= row["exact"] <= row["exact_high"]
