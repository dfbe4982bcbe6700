"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.onnx_serving.exercises --team my-team           prints the statements
python -m projects.onnx_serving.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values


def four_texts(draw: Draw) -> Values:
    """Lengths of four texts, long and short ones in turn, so that sorting helps."""
    return {
        "a": draw.integer(150, 400),
        "b": draw.integer(5, 60),
        "c": draw.integer(61, 140),
        "d": draw.integer(401, 900),
    }


def without_cache_over_with(v: Values) -> float:
    """Σ (p + k) for k = 0 … n − 1 over p + (n − 1)."""
    every = v["n"] * v["p"] + v["n"] * (v["n"] - 1) / 2
    return every / (v["p"] + v["n"] - 1)


def wasted_in_order(v: Values) -> float:
    """Padding of (a, b) and (c, d) over all that is computed."""
    computed = 2 * max(v["a"], v["b"]) + 2 * max(v["c"], v["d"])
    return 1 - (v["a"] + v["b"] + v["c"] + v["d"]) / computed


def wasted_sorted(v: Values) -> int:
    """Padding tokens when the two short and the two long ones go together."""
    w, x, y, z = sorted((v["a"], v["b"], v["c"], v["d"]))
    return (x - w) + (z - y)


def windows_needed(v: Values) -> int:
    """One window, and one for every (room − overlap) further tokens."""
    room = v["longitud"] - v["pregunta"]
    return 1 + max(0, math.ceil((v["contexto"] - room) / (room - v["solape"])))


def requantised(v: Values) -> float:
    """The nearest multiple of the scale."""
    scale = v["maximo"] / 127
    return round(v["peso"] / scale) * scale


def queue_time(v: Values) -> float:
    """The batch that has just begun, then every batch until the last in the queue is done."""
    return v["ms"] * (1 + math.ceil(v["espera"] / v["filas"]))


def no_answer(v: Values) -> float:
    """σ(threshold − margin)."""
    margin = v["si"] + v["sf"] - v["ci"] - v["cf"]
    return 1 / (1 + math.exp(margin - v["umbral"]))


EXERCISES = (
    Exercise(
        "cache",
        lambda draw: {
            "capas": draw.integer(8, 60),
            "cabezas": draw.integer(2, 16),
            "ancho": draw.one_of((32, 48, 64, 80, 96, 128)),
            "filas": draw.integer(2, 32),
            "tokens": draw.integer(50, 2000),
        },
        Number(lambda v: 2 * 4 * v["capas"] * v["cabezas"] * v["ancho"] * v["filas"] * v["tokens"], 0),
    ),
    Exercise(
        "ahorro", lambda draw: {"p": draw.integer(10, 500), "n": draw.integer(10, 300)}, Number(without_cache_over_with)
    ),
    Exercise("relleno", four_texts, Number(wasted_in_order)),
    Exercise("ordenar", four_texts, Number(wasted_sorted, 0)),
    Exercise(
        "presupuesto",
        lambda draw: {
            "limite": draw.integer(20000, 90000),
            "corto": draw.integer(5, 50),
            "largo": draw.integer(60, 400),
        },
        Number(lambda v: v["limite"] // v["largo"], 0),
    ),
    Exercise(
        "ventanas",
        lambda draw: {
            "contexto": draw.integer(3000, 30000),
            "longitud": draw.integer(96, 512),
            "pregunta": draw.integer(8, 24),
            "solape": draw.integer(8, 36),
        },
        Number(windows_needed, 0),
    ),
    Exercise(
        "int8",
        lambda draw: {"maximo": draw.decimal(0.5, 9.0, 3), "peso": draw.decimal(0.05, 0.49, 4)},
        Number(requantised, 1e-5),
    ),
    Exercise(
        "posicion",
        lambda draw: {"propios": draw.integer(3, 400), "longitud": draw.integer(401, 900), "k": draw.integer(2, 200)},
        Number(lambda v: v["propios"] + v["k"] - 1, 0),
    ),
    Exercise(
        "cola",
        lambda draw: {
            "filas": draw.integer(2, 16),
            "ms": draw.decimal(20.0, 400.0, 1),
            "espera": draw.integer(17, 120),
        },
        Number(queue_time),
    ),
    Exercise(
        "carga",
        lambda draw: {"mu": draw.decimal(5.0, 50.0), "lambda": draw.decimal(51.0, 200.0)},
        Number(lambda v: 1 - v["mu"] / v["lambda"]),
    ),
    Exercise(
        "lote",
        lambda draw: {"fijo": draw.decimal(2.0, 30.0), "porfila": draw.decimal(0.1, 4.0)},
        Expression(
            lambda v, case: case["b"] * (v["fijo"] + v["porfila"]) / (v["fijo"] + v["porfila"] * case["b"]),
            lambda _: [{"b": b} for b in (1, 4, 64)],
        ),
    ),
    Exercise(
        "margen",
        lambda draw: {
            "ci": draw.decimal(-3.0, 3.0),
            "cf": draw.decimal(-3.0, 3.0),
            "si": draw.decimal(-2.0, 3.0),
            "sf": draw.decimal(-2.0, 3.0),
            "umbral": draw.decimal(-1.0, 1.0),
        },
        Number(no_answer),
    ),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
