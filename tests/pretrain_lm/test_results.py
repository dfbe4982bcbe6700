"""Every number of the README comes from a file in results/, and the files agree with each other."""

import re
from types import SimpleNamespace

import pytest

from projects.pretrain_lm.config import Config
from projects.pretrain_lm.study import RESULTS, cells, divisions, views
from shared.report import mean_sd, read_csv, stale_tables


def rows_of(name):
    return read_csv(RESULTS / f"{name}.csv")


def test_the_readmes_tables_are_those_of_the_files():
    samples = (RESULTS / "samples.md").read_text(encoding="utf-8").rstrip()
    text = SimpleNamespace(markdown=lambda rows, language: samples)
    assert stale_tables(RESULTS, {**views(RESULTS), "samples": (text, [])}) == []


def test_the_spanish_tables_have_no_english_words():
    shown = "".join(table.markdown(rows, "es") for table, rows in views(RESULTS).values())
    assert not set(re.findall(r"\w+", shown)) & {
        "ours",
        "the",
        "of",
        "model",
        "loader",
        "static",
        "greedy",
        "both",
        "to",
    }


@pytest.mark.parametrize(
    ("summary", "of", "by", "measured"),
    [
        ("masking", "runs", ("objective", "mask_ratio"), ("validation_loss", "test_loss")),
        ("peer", "peer_runs", ("arm", "parameters"), ("validation_loss",)),
    ],
)
def test_summaries_are_those_of_the_runs(summary, of, by, measured):
    runs = [row for row in rows_of(of) if row.get("study", summary) == summary]
    written = rows_of(summary)
    assert sum(row["seeds"] for row in written) == len(runs)
    for row in written:
        mine = [run for run in runs if all(run[name] == row[name] for name in by)]
        assert row["seeds"] == len(mine)
        recomputed = mean_sd(mine, *measured)
        assert recomputed == {name: pytest.approx(row[name]) for name in recomputed}


def test_the_runs_are_those_that_are_planned():
    assert {row["cell"] for row in [*rows_of("runs"), *rows_of("peer_runs")]} == set(cells(Config()))


def test_a_longer_n_gram_and_the_mixture_are_better():
    two, three, five, model, mixed = rows_of("news")
    assert two["test_perplexity"] > three["test_perplexity"] > five["test_perplexity"]
    assert mixed["test_perplexity"] < min(five["test_perplexity"], model["test_perplexity"])


def test_both_divisions_stand_side_by_side_model_by_model():
    before = [{"model": "A", "test_perplexity": 2.0}, {"model": "both, 0.67 of A", "test_perplexity": 1.0}]
    now = [{"model": "both, 0.60 of A", "test_perplexity": 3.0}, {"model": "A", "test_perplexity": 4.0}]
    both, alone = divisions(before, now)
    assert both == {"model": "both", "by_text": 1.0, "by_story": 3.0}
    assert alone == {"model": "A", "by_text": 2.0, "by_story": 4.0}
    models = [row["model"].partition(",")[0] for row in rows_of("news")]
    assert [row["model"].partition(",")[0] for row in rows_of("news_by_text")] == models


def test_a_table_that_was_never_measured_is_not_shown(tmp_path):
    assert views(tmp_path) == {}
