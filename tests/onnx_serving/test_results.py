"""Every number of the README comes from a file in results/, and the files say what the README says of them."""

import json
import re

import pytest

from projects.onnx_serving.study import RESULTS, SCORES, mean_answers, views
from shared.report import mean_sd, read_csv, stale_tables


def test_the_readmes_tables_are_those_of_the_files():
    assert stale_tables(RESULTS, views(RESULTS)) == []


def test_the_spanish_tables_have_no_english_words():
    shown = "".join(table.markdown(rows, "es") for table, rows in views(RESULTS).values())
    assert not set(re.findall(r"\w+", shown)) & {
        "in",
        "with",
        "without",
        "its",
        "one",
        "as",
        "sorted",
        "none",
        "wordings",
    }


def test_the_summary_is_that_of_the_runs():
    runs, (written,) = read_csv(RESULTS / "runs.csv"), read_csv(RESULTS / "summary.csv")
    mine = {"seeds": len(runs), **mean_sd(runs, *SCORES)}
    assert mine.keys() == written.keys()
    assert mine == {name: pytest.approx(value) for name, value in written.items()}


def test_the_answers_are_the_means_of_the_seeds():
    rows = read_csv(RESULTS / "answers_by_seed.csv")
    for mine, written in zip(mean_answers(rows), read_csv(RESULTS / "answers.csv"), strict=True):
        assert mine.keys() == written.keys()
        for key, value in mine.items():
            assert written[key] == (pytest.approx(value) if isinstance(value, float) else value)


def test_float32_graphs_answer_as_torch_and_batches_as_single_rows():
    answers = {row["backend"]: row for row in read_csv(RESULTS / "answers.csv")}
    assert answers["onnx float32"]["same"] == 1 and answers["onnx int8"]["int8_products"] > 30
    for row in read_csv(RESULTS / "texts.csv"):
        assert row["backend"] == "onnx int8" or row["batched_same"] == row["same"] == 1


def test_parity_of_the_committed_export():
    rows = json.loads((RESULTS / "parity.json").read_text())
    assert max(row["relative"] for row in rows if ".int8." not in row["graph"]) < 1e-4


def test_under_overload_nothing_but_answers_and_refusals():
    (load,) = read_csv(RESULTS / "load.csv")
    assert load["other"] == 0 and load["refused"] == load["refused_with_retry_after"] > 0
    assert load["accepted"] + load["refused"] == load["requests"]
