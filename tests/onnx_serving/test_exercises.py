"""The demo team's answers are right, nobody else's are, and the references agree with the code they are about."""

import math
import subprocess
import sys
import tomllib
from itertools import permutations

import numpy as np
import pytest

from projects.onnx_serving.exercises import EXERCISES, SHEET
from projects.onnx_serving.inference.padded_batches import planned, waste
from projects.onnx_serving.inference.spans import Candidate, Cutter, decode
from projects.onnx_serving.inference.token_by_token import left_padded, positions_of
from shared.exercises import Number

DEMO = tomllib.loads((SHEET.folder / "answers/demo.toml").read_text())
TEAMS = [f"equipo-{n}" for n in range(40)]
NAMES = {exercise.id: exercise for exercise in EXERCISES}


def test_the_demo_teams_answers_are_right():
    assert SHEET.check("demo", DEMO) == dict.fromkeys(NAMES)


def test_a_copied_sheet_fails_for_every_other_team():
    for team in TEAMS:
        wrong = [name for name, verdict in SHEET.check(team, DEMO).items() if verdict]
        assert len(wrong) >= len(EXERCISES) - 1, team


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if isinstance(e.answer, Number)], ids=lambda e: e.id)
def test_two_teams_rarely_share_an_answer(exercise):
    answers = {team: exercise.answer.solve(exercise.values(team)) for team in TEAMS}
    pairs = list(permutations(TEAMS, 2))
    shared = sum(exercise.answer.wrong(answers[a], exercise.values(b)) is None for a, b in pairs)
    assert shared / len(pairs) < 0.05


@pytest.mark.parametrize("generic", [0, 1, 2, 8, 127, 0.5, "b", "1 / b", "b * 2", "b / (1 + b)"])
def test_a_generic_answer_fails_everywhere(generic):
    for team in TEAMS:
        verdicts = SHEET.check(team, dict.fromkeys(NAMES, generic))
        assert sum(verdict is None for verdict in verdicts.values()) <= (1 if isinstance(generic, int | float) else 0)


def test_every_statement_is_filled():
    text = SHEET.statements("equipo-1")
    assert "⟨x⟩" in text and text.count("⟨") == 1
    assert len(EXERCISES) >= 8


def test_the_command():
    def command(*words):
        return subprocess.run(
            [sys.executable, "-m", "projects.onnx_serving.exercises", *words], capture_output=True, text=True
        )

    assert command("--team", "demo", "--check").returncode == 0
    assert command("--team", "otro", "--check").returncode == 2


# The references against the code: an exercise whose solution is wrong teaches nothing.


def values(name, team="equipo-3"):
    return NAMES[name].values(team), NAMES[name].answer


def test_padding_against_the_plans():
    v, answer = values("relleno")
    lengths = [v[name] for name in "abcd"]
    assert answer.solve(v) == pytest.approx(waste(lengths, planned(lengths, 10**9, largest=2, by_length=False)))
    v, answer = values("ordenar")
    lengths = [v[name] for name in "abcd"]
    batches = planned(lengths, 10**9, largest=2)
    computed = sum(2 * max(lengths[row] for row in rows) for rows in batches)
    assert answer.solve(v) == computed - sum(lengths)


def test_budget_against_the_plan():
    v, answer = values("presupuesto")
    lengths = [v["corto"]] * 3000 + [v["largo"]]
    batch = next(rows for rows in planned(list(reversed(lengths)), v["limite"], by_length=False) if 0 in rows)
    assert len(batch) == answer.solve(v)


def test_windows_against_the_cutter(qa_tokenizer):
    v = {"contexto": 400, "longitud": 64, "pregunta": 7, "solape": 10}
    question = "a b c d"  # with [CLS] and two [SEP]: seven tokens
    cutter = Cutter(qa_tokenizer, length=v["longitud"], overlap=v["solape"])
    assert len(cutter(question, "x " * v["contexto"])) == NAMES["ventanas"].answer.solve(v)


def test_int8_against_numpy():
    v, answer = values("int8")
    scale = np.float64(v["maximo"]) / 127
    assert answer.solve(v) == pytest.approx(float(np.rint(v["peso"] / scale) * scale))


def test_positions_against_the_code():
    v, answer = values("posicion")
    _, mask = left_padded([[5] * v["propios"], [5] * v["longitud"]], 2)
    grown = np.concatenate([mask, np.ones((2, v["k"]), np.int64)], axis=1)
    assert positions_of(grown)[0, -1] == answer.solve(v)


def test_saving_by_counting():
    v, answer = values("ahorro")
    without = sum(v["p"] + step for step in range(v["n"]))
    assert answer.solve(v) == pytest.approx(without / (v["p"] + v["n"] - 1))


def test_margin_against_decode():
    v, answer = values("margen")
    margin = v["si"] + v["sf"] - v["ci"] - v["cf"]
    found = decode([Candidate(margin, 0.5, 0, 1)], "x", threshold=v["umbral"])
    assert answer.solve(v) == pytest.approx(found[0].no_answer)
    assert math.isfinite(answer.solve(v))
