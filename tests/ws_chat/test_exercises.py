"""The answers that exercises.toml declares, against another way of finding each."""

import math
from pathlib import Path

import pytest

from shared.course.exercises.declared import read_exercises
from shared.course.exercises.expressions import evaluate

FOLDER = Path(__file__).parents[2] / "projects" / "ws_chat"


def test_each_statement_has_its_exercise_and_the_other_way_round():
    text = (FOLDER / "exercises.md").read_text(encoding="utf-8")
    names = [line.rsplit("`", 2)[1] for line in text.splitlines() if line.startswith("## ")]
    assert names == [each.id for each in read_exercises(FOLDER)] and len(names) >= 8


def answer(name, **values):
    import tomllib

    declared = tomllib.loads((FOLDER / "exercises.toml").read_text(encoding="utf-8"))
    return evaluate(declared[name]["answer"], values)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("faltan", {"visto": 900, "ultimo": 1000, "guardados": 500}, len(range(901, 1001))),
        ("faltan", {"visto": 1, "ultimo": 2000, "guardados": 500}, 0),
        ("reserva", {"lote": 100, "usados": 1001}, 99),
        ("parar", {"ms": 10.0, "red": 5.0}, 1.5),
        ("turnos", {"muchas": 3, "otros": 4}, 5),
        ("jain", {"n": 3, "a": 4, "b": 2}, (4 + 2 + 2) ** 2 / (3 * (16 + 4 + 4))),
        ("lento", {"tramas": 64, "bytes": 100, "kib": 64, "clientes": 10}, 10 * (6400 + 65_536) / 2**20),
        ("retenida", {"letras": 8, "velocidad": 2.0}, 3.0),
        ("concesion", {"tercio": 2.0}, sum(6 - x / 1000 for x in range(2000)) / 2000),
        ("estampida", {"paginas": 1000, "w": 10.0}, 200.0),
        ("gracia", {"media": 10.0, "gracia": 20}, math.exp(-2)),
    ],
)
def test_answers_are_what_counting_gives(name, values, expected):
    assert answer(name, **values) == pytest.approx(expected, rel=1e-3)


def test_the_budget_is_what_adding_pairs_gives():
    values = {"contexto": 1024, "respuesta": 100, "sistema": 30, "pregunta": 20, "dicha": 60}
    pairs, left = 0, 1024 - 100 - 30 - 20
    while left >= 80:
        pairs, left = pairs + 1, left - 80
    assert answer("presupuesto", **values) == pairs
