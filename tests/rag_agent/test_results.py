"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest
from projects.rag_agent.experiments import RESULTS
from projects.rag_agent.studies.answers import ARMS
from projects.rag_agent.studies.retrieval import METHODS
from projects.rag_agent.tables import (
    README,
    answers_markdown,
    embedding_markdown,
    growth_markdown,
    kinds_markdown,
    recall_markdown,
    refusal_markdown,
    retrieval_markdown,
    routing_markdown,
)

from projects.rag_agent.config import Config
from projects.rag_agent.questions import FACTS, SEARCHES
from shared.report import between_marks, read_csv
from shared.runs import read_json


@pytest.fixture(scope="module")
def read():
    return {path.stem: read_csv(path) for path in RESULTS.glob("*.csv")}


@pytest.mark.parametrize(
    ("mark", "markdown", "file"),
    [
        ("retrieval", retrieval_markdown, "retrieval"),
        ("answers", answers_markdown, "answers_overall"),
        ("kinds", kinds_markdown, "answers"),
        ("refusal", refusal_markdown, "refusal"),
        ("routing", routing_markdown, "routing"),
        ("recall", recall_markdown, "recall"),
        ("bench", growth_markdown, "bench"),
        ("embedding", embedding_markdown, "embedding"),
    ],
)
def test_the_readmes_tables_are_those_of_the_files(mark, markdown, file, read):
    assert between_marks(README, mark) == markdown(read[file])


def test_every_cell_of_the_design_is_there(read):
    assert [(r["questions"], r["method"]) for r in read["retrieval"]] == [(q, m) for q in SEARCHES for m in METHODS]
    assert [(r["arm"], r["kind"]) for r in read["answers"]] == [(arm, kind) for arm in ARMS for kind in FACTS]
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
