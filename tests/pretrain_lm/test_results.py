"""Every number of the README comes from a file in results/, and the files agree with each other."""

import pytest

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.experiments import cells
from projects.pretrain_lm.tables import (
    README,
    bench_markdown,
    consumption_markdown,
    summarise_masking,
    summarise_peer,
    tables_of,
)
from shared.report import between_marks, read_csv

RESULTS = README.parent / "results"


def rows_of(name):
    return read_csv(RESULTS / f"{name}.csv")


def test_the_readmes_tables_are_those_of_the_files():
    benches = {"bench": bench_markdown(rows_of("bench")), "consumption": consumption_markdown(rows_of("consumption"))}
    for name, table in {**tables_of(RESULTS), **benches}.items():
        assert between_marks(README, name) == table, name


@pytest.mark.parametrize(
    ("summary", "of", "make"), [("masking", "runs", summarise_masking), ("peer", "peer_runs", summarise_peer)]
)
def test_summaries_are_those_of_the_runs(summary, of, make):
    runs = [row for row in rows_of(of) if row.get("study", summary) == summary]
    for mine, written in zip(make(runs), rows_of(summary), strict=True):
        assert mine == {
            key: pytest.approx(value) if isinstance(value, float) else value for key, value in written.items()
        }


def test_the_runs_are_those_that_are_planned():
    assert {row["cell"] for row in [*rows_of("runs"), *rows_of("peer_runs")]} == set(cells(Config()))


def test_a_longer_n_gram_and_the_mixture_are_better():
    two, three, five, model, mixed = rows_of("news")
    assert two["test_perplexity"] > three["test_perplexity"] > five["test_perplexity"]
    assert mixed["test_perplexity"] < min(five["test_perplexity"], model["test_perplexity"])
