"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.rag_agent.exercises --team my-team           prints the statements
python -m projects.rag_agent.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values

WIDTHS = (256, 320, 384, 448, 512, 640, 768, 896, 1024, 1536)


def ranking(draw: Draw) -> Values:
    """How many questions found their film where; the rest did not."""
    one, two, five = draw.integer(20, 90), draw.integer(5, 60), draw.integer(5, 60)
    return {"uno": one, "dos": two, "cinco": five, "n": one + two + five + draw.integer(5, 60)}


def refusing(draw: Draw) -> Values:
    """Questions with and without an answer, and how many of each went right."""
    asked, empty = draw.integer(100, 400), draw.integer(50, 300)
    return {"p": asked, "c": draw.integer(60, asked), "q": empty, "r": draw.integer(30, empty)}


def budget(draw: Draw) -> Values:
    """Sizes of the parts of a prompt."""
    return {
        "total": draw.integer(1500, 8000),
        "fijo": draw.integer(40, 160),
        "pregunta": draw.integer(10, 60),
        "pasaje": draw.integer(70, 140),
        "salto": draw.integer(4, 20),
        "historia": draw.integer(100, 400),
    }


def passages_that_fit(v: Values) -> int:
    """Whole ones."""
    return (v["total"] - v["fijo"] - v["pregunta"] - v["historia"]) // (v["pasaje"] + v["salto"])


def overlap(draw: Draw) -> Values:
    """Words of a right answer, of a given one, and of both."""
    right, said = draw.integer(7, 30), draw.integer(7, 40)
    return {"oro": right, "dichas": said, "comunes": draw.integer(2, min(right, said) - 1)}


def saturated(v: Values, case: Values) -> float:
    """BM25's part of one word."""
    return case["idf"] * v["tf"] / (v["tf"] + v["k1"] * (1 - v["b"] + v["b"] * v["l"] / v["media"]))


EXERCISES = (
    Exercise(
        "memoria",
        lambda draw: {"n": draw.integer(20_000, 900_000), "d": draw.one_of(WIDTHS)},
        Number(lambda v: v["n"] * (4 * v["d"] + 8) / 1e6),
    ),
    Exercise(
        "grafo",
        lambda draw: {"n": draw.integer(20_000, 900_000), "d": draw.one_of(WIDTHS), "m": draw.integer(12, 64)},
        Number(lambda v: v["n"] * (4 * v["d"] + 8 * v["m"]) / 1e6),
    ),
    Exercise(
        "rrf",
        lambda draw: {
            "a": draw.integer(1, 30),
            "b": draw.integer(1, 30),
            "c": draw.integer(5, 90),
            "w": draw.decimal(0.1, 0.9),
        },
        Number(lambda v: v["w"] / (v["c"] + v["a"]) + (1 - v["w"]) / (v["c"] + v["b"])),
    ),
    Exercise("empate", lambda draw: {"c": draw.integer(10, 400)}, Number(lambda v: v["c"] + 1, 0)),
    Exercise(
        "idf",
        lambda draw: {"n": draw.integer(2000, 90_000), "h": draw.integer(3, 900)},
        Number(lambda v: math.log(1 + (v["n"] - v["h"] + 0.5) / (v["h"] + 0.5))),
    ),
    Exercise(
        "bm25",
        lambda draw: {
            "k1": draw.decimal(0.8, 2.0),
            "b": draw.decimal(0.3, 0.9),
            "l": draw.integer(20, 180),
            "media": draw.integer(50, 120),
            "tf": draw.integer(1, 6),
        },
        Expression(saturated, lambda _: [{"idf": idf} for idf in (0.7, 2.0, 9.3)]),
    ),
    Exercise("coseno", lambda draw: {"d2": draw.decimal(0.02, 1.4, 4)}, Number(lambda v: 1 - v["d2"] / 2)),
    Exercise("mrr", ranking, Number(lambda v: (v["uno"] + v["dos"] / 2 + v["cinco"] / 5) / v["n"])),
    Exercise("umbral", refusing, Number(lambda v: (v["c"] / v["p"] + v["r"] / v["q"]) / 2)),
    Exercise("presupuesto", budget, Number(passages_that_fit, 0)),
    Exercise("f1", overlap, Number(lambda v: 2 * v["comunes"] / (v["oro"] + v["dichas"]))),
    Exercise(
        "escala",
        lambda draw: {"g": draw.decimal(4.0, 60.0, 1), "d": draw.one_of(WIDTHS)},
        Expression(
            lambda v, case: case["n"] * 4 * v["d"] / (v["g"] * 1e9) * 1000,
            lambda _: [{"n": n} for n in (1_000, 100_000, 7_654_321)],
        ),
    ),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
