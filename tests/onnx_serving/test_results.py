"""Every number of the README comes from a file in results/, and the files say what the README says of them."""

import json

import pytest

from projects.onnx_serving.tables import MADE_FROM, README, RESULTS, SCORES, summarise, summarise_answers
from shared.report import between_marks, read_csv


@pytest.mark.parametrize("name", MADE_FROM)
def test_the_readmes_tables_are_those_of_the_files(name):
    file, markdown = MADE_FROM[name]
    assert between_marks(README, name) == markdown(read_csv(RESULTS / file))


def test_the_summary_is_that_of_the_runs():
    (mine,), (written,) = summarise(read_csv(RESULTS / "runs.csv")), read_csv(RESULTS / "summary.csv")
    assert mine.keys() == written.keys()
    assert all(written[name] == pytest.approx(mine[name]) for name in SCORES)


def test_the_answers_are_the_means_of_the_seeds():
    rows = read_csv(RESULTS / "answers_by_seed.csv")
    for mine, written in zip(summarise_answers(rows), read_csv(RESULTS / "answers.csv"), strict=True):
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
