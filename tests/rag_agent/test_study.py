"""The study: cells that are the very ones, choices made on the tuning films, and tables that follow from the logs."""

import json
import statistics
from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest

from projects.rag_agent import measure, study
from projects.rag_agent.agents import routing
from projects.rag_agent.evaluate import balanced_accuracy, best_threshold
from projects.rag_agent.measure import Arm
from projects.rag_agent.questions import FACTS, SEARCHES, Question
from projects.rag_agent.retriever import lexical
from projects.rag_agent.study import StudyConfig, measured
from shared.fingerprint import verify
from shared.report import read_csv

SETTINGS = {"k": 1}
GRID = tuple(study.GRID)  # before any test patches it


def asked(calls, value=0.5):
    def take(data):
        calls.append(data)
        yield {"f1": value}, {"film": "Ran"}
        yield {"f1": value / 2}, {"film": "Heat"}

    return take


def test_the_very_cell_is_measured_once(tmp_path):
    calls = []
    first = measured(tmp_path, "answers/one", SETTINGS, ["data"], asked(calls))
    again = measured(tmp_path, "answers/one", SETTINGS, ["data"], asked(calls))
    assert calls == [["data"]] and first.values("f1") == again.values("f1") == [0.5, 0.25]
    assert again.items == [{"film": "Ran"}, {"film": "Heat"}] and again.directory == tmp_path / "answers" / "one"


@pytest.mark.parametrize(
    ("settings", "data", "meaning"),
    [
        ({"k": 2}, ["data"], measure.MEANING),
        (SETTINGS, ["other data"], measure.MEANING),
        (SETTINGS, ["data"], measure.MEANING - 1),
    ],
)
def test_other_settings_scores_or_data_are_measured_beside_and_said(
    settings, data, meaning, tmp_path, capsys, monkeypatch
):
    with monkeypatch.context() as patched:
        cell = measure.Cell
        patched.setattr(measure, "Cell", lambda *of: replace(cell(*of), meaning=meaning))
        measured(tmp_path, "answers/one", settings, data, asked([]))
    calls = []
    done = measured(tmp_path, "answers/one", SETTINGS, ["data"], asked(calls, 0.75))
    assert done.values("f1") == [0.75, 0.375] and len(calls) == 1
    assert "not used for this cell" in capsys.readouterr().out
    assert measured(tmp_path, "answers/one", SETTINGS, ["data"], asked(calls)).values("f1") == [0.75, 0.375]
    assert len(calls) == 1


def test_questions_are_data_with_all_that_they_say(tmp_path):
    """The same words with other right answers are another cell."""
    one = Question("Who directed Ran?", "director", "Ran", ("Akira Kurosawa",))
    first = measured(tmp_path, "answers/one", SETTINGS, [one], asked([]))
    other = measured(tmp_path, "answers/one", SETTINGS, [replace(one, answers=("Kurosawa",))], asked([]))
    assert first.directory != other.directory


def test_one_that_was_stopped_is_measured_anew(tmp_path):
    def stopped(_):
        yield {"f1": 1.0}, {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, "answers/one", SETTINGS, ["data"], stopped)
    assert measured(tmp_path, "answers/one", SETTINGS, ["data"], asked([])).values("f1") == [0.5, 0.25]


def test_what_a_person_keeps_there_is_left_alone(tmp_path):
    theirs = tmp_path / "answers" / "one" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    assert measured(tmp_path, "answers/one", SETTINGS, ["data"], asked([])).values("f1") == [0.5, 0.25]
    assert theirs.read_text() == "theirs"


# ---------------------------------------------------------------- the whole of it, small


@pytest.fixture(scope="module")
def ran(tmp_path_factory, request):
    """A whole study with stand-ins for both models, a second one over the same runs, and the folder of results."""
    from tests.rag_agent.conftest import HashingEmbedder, ScriptedGenerator

    patched = pytest.MonkeyPatch()
    request.addfinalizer(patched.undo)
    folder = tmp_path_factory.mktemp("rag_agent")
    places = {"runs": folder / "runs", "out": folder / "rag_agent" / "results"}
    config = StudyConfig(limit=60, passage_tokens=64, answer_tokens=4, **places)
    patched.setattr(HashingEmbedder, "_word", cache(HashingEmbedder._word))
    patched.setattr(measure, "Embedder", lambda *_, **__: HashingEmbedder())
    patched.setattr(measure, "Generator", lambda *_: ScriptedGenerator())
    patched.setattr(measure, "open_bench", cache(measure.open_bench))  # the second study asks the same one
    patched.setattr(study, "GRID", [each for each in study.GRID if each[1] in (0.1, 0.5) and each[2] == 10.0])
    patched.setattr(study, "SIZES", {"tune": 2, "test": 3})
    patched.setattr(lexical, "terms", cache(lexical.terms))  # of few texts, again and again
    patched.setattr(study, "GROWN", (20, 40))
    patched.setattr(study, "QUERIES", 5)
    vectors = np.random.default_rng(0).standard_normal((45, 8)).astype(np.float32)
    patched.setattr(study, "vectors_of", lambda size, _: ([f"sentence {n}" for n in range(size)], vectors[:size]))
    kills = [{"round": n, "loads": 1, "version": n + 1, "new": 1, "rubbish": n, "error": ""} for n in range(2)]
    patched.setattr(study.crash, "main", lambda _: kills)
    study.main(config)
    before = {path.name: path.read_bytes() for path in config.out.glob("*.csv")}

    def again(*_, **__):
        raise AssertionError("measured again")

    for name in ("fusing", "searching", "confidences", "refusing", "answering"):
        patched.setattr(measure, name, again)
    for name in ("route", "graph_recall"):
        patched.setattr(study, name, again)
    study.main(config)
    assert {path.name: path.read_bytes() for path in config.out.glob("*.csv")} == before
    return config, {path.stem: read_csv(path) for path in config.out.glob("*.csv")}


def test_every_cell_of_the_design_is_there_and_nothing_is_measured_twice(ran):
    _, tables = ran
    assert [(r["questions"], r["method"]) for r in tables["retrieval"]] == [
        (kind, method) for kind in SEARCHES for method in study.plots.METHODS
    ]
    assert [(r["arm"], r["kind"]) for r in tables["answers"]] == [(a, k) for a in get_args(Arm) for k in FACTS]
    assert [(r["vectors"], r["ef_search"]) for r in tables["recall"]] == [
        (size, ef_search) for size in (20, 40) for ef_search in study.EF_SEARCH
    ]
    assert len(tables["tuning"]) == 2 + 2 + 2 and len(tables["refusal_curve"]) == 3 * 51
    assert [r["policy"] for r in tables["routing"]] == list(study.plots.POLICIES)
    assert [r["rubbish"] for r in tables["crash"]] == [0, 1]


def test_every_table_is_recomputed_from_the_logs_that_it_cites(ran):
    config, tables = ran
    findings = verify(config.out, recompute=True)
    assert findings and all(finding.verdict.unchanged for finding in findings)
    found = {finding.path.stem: finding.detail for finding in findings}
    assert found["answers_overall"].startswith("13 of 51 cells")  # five means an arm, three where there are no passages
    assert found["crash"].startswith("10 of 12 cells") and found["recall"].startswith("20 of 30 cells")
    assert found["refusal"].startswith("3 of ") and len(tables["refusal"]) == 3


def test_every_fusion_is_a_candidate():
    assert len(set(GRID)) == len(GRID) == 2 + 9 + 27
    assert {method for method, _, _ in GRID} == set(study.plots.METHODS)


def test_constants_are_chosen_on_the_tuning_films_alone(ran):
    config, tables = ran
    for method in ("rrf", "hybrid"):
        best = max((row for row in tables["tuning"] if row["method"] == method), key=lambda row: row["mrr"])
        used = next(row for row in tables["retrieval"] if row["method"] == method)
        assert (used["weight"], used["constant"]) == (best["weight"], best["constant"])
    chosen = json.loads((config.out / "chosen.json").read_text())
    assert chosen.keys() == {"weight", "cosine_share", "threshold", "template", "k"}
    logs = {kind: config.runs / "refusal" / f"tune-{kind}" for kind in ("answerable", "not_indexed", "off_topic")}
    share = f"share_{chosen['cosine_share']:g}"
    scores = [(line[share], kind == "answerable") for kind, log in logs.items() for line in lines_of(log, share)]
    values, answerable = zip(*scores, strict=True)
    assert chosen["threshold"] == best_threshold(values, answerable)
    assert balanced_accuracy(values, answerable, chosen["threshold"]) > 0.5
    assert {row["threshold"] for row in tables["refusal"]} == {chosen["threshold"]}


def lines_of(directory, metric):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if metric in line]


def test_what_is_refused_is_what_lies_below_the_threshold(ran):
    config, tables = ran
    for row in tables["refusal"]:
        log = lines_of(config.runs / "refusal" / f"test-{row['questions'].replace(' ', '_')}", "refused")
        assert row["count"] == len(log)
        assert row["refused"] == round(statistics.mean(line["confidence"] < row["threshold"] for line in log), 6)
        curve = [each for each in tables["refusal_curve"] if each["questions"] == row["questions"]]
        assert curve[25]["threshold"] == 0.5 and curve == sorted(curve, key=lambda each: each["refused"])
        assert curve[25]["refused"] == round(statistics.mean(line["confidence"] < 0.5 for line in log), 4)


def test_the_right_passage_is_looked_for_in_the_right_film(ran):
    _, tables = ran
    stands = {(row["arm"], row["kind"]): row["in_passages"] for row in tables["answers"]}
    assert all(stands["right", kind] >= stands["retrieved", kind] for kind in FACTS)
    assert all(row["in_passages"] == "" for row in tables["answers"] if row["arm"] == "closed_book")


def test_a_view_has_the_arms_that_are_there_and_headings_in_two_languages(ran):
    config, tables = ran
    views = study.views(config.out)
    assert "bench" not in views  # its benchmark was not run
    table, rows = views["kinds"]
    assert [row["arm"] for row in rows] == list(get_args(Arm))
    assert table.markdown(rows[1:]).splitlines()[2].startswith("| with retrieved passages |")
    assert table.markdown(rows, "es").startswith("| acierto exacto | año | director | reparto |")
    overall, rows = views["answers"]
    assert overall.view(rows)[1][0][4:6] == ["–", "–"]
    assert [sum(r["questions"] for r in tables["answers"] if r["arm"] == arm) for arm in get_args(Arm)] == [
        row["questions"] for row in rows
    ]


def test_the_differences_are_those_of_the_cells(ran):
    _, tables = ran
    mrr = {(row["questions"], row["method"]): row["mrr"] for row in tables["retrieval"]}
    assert len(tables["differences"]) == 9
    for row in tables["differences"]:
        gap = mrr[row["questions"], "hybrid"] - mrr[row["questions"], row["minus"]]
        assert row["mrr"] == pytest.approx(gap, abs=6e-5)
        assert row["low"] <= row["mrr"] <= row["high"] and 0 <= row["not_worse"] <= 1


def test_each_tool_has_its_share_of_right_requests(ran):
    _, tables = ran
    rules = next(row for row in tables["routing"] if row["policy"] == "rules")
    tools = dict.fromkeys(tool for tool, _, _ in routing.REQUESTS)
    assert rules["right"] == pytest.approx(statistics.mean(rules[f"right_{tool}"] for tool in tools), abs=1e-4)
