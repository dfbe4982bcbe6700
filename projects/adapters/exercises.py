"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.adapters.exercises --team my-team           prints the statements
python -m projects.adapters.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from projects.adapters.models.adapter import adapter_parameters
from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values

WIDTHS = (256, 320, 384, 448, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280)


def sizes(draw: Draw) -> Values:
    """A Transformer's depth and width."""
    return {"capas": draw.integer(4, 36), "d": draw.one_of(WIDTHS)}


def budget(draw: Draw) -> Values:
    """Sizes, and a budget that some hundred widths may meet."""
    found = sizes(draw)
    base = round(found["capas"] * 12 * found["d"] ** 2 / 1e6) + draw.integer(5, 60)
    return {**found, "base": base, "tope": draw.decimal(1.0, 6.0)}


def width_that_fits(v: Values) -> int:
    """The largest m with 2 · blocks · (2dm + d + m) ≤ budget."""
    most = round(v["tope"] / 100 * v["base"] * 10**6, 6) / (2 * v["capas"])
    return math.floor((most - v["d"]) / (2 * v["d"] + 1))


def first_step(draw: Draw) -> Values:
    """Two inputs, D, the scale and the gradient of the output."""
    names = ("x1", "x2", "d1", "d2")
    values: Values = {name: draw.decimal(0.5, 5.0) for name in names}
    return {**values, "s": draw.decimal(0.25, 4.0), "g": -draw.decimal(0.1, 3.0)}


def predictions(draw: Draw) -> Values:
    """Entities that there are, that are predicted, and how the predictions are right or wrong."""
    n = draw.integer(200, 900)
    c, b = draw.integer(60, 190), draw.integer(5, 60)
    return {"n": n, "p": c + b + draw.integer(5, 90), "c": c, "b": b}


def padded(draw: Draw) -> Values:
    """A batch: sentences, positions, words and pieces that fit."""
    b, t = draw.integer(8, 64), draw.integer(24, 64)
    n = draw.integer(4 * b, 12 * b)
    return {"b": b, "t": t, "n": n, "k": n + draw.integer(b, 4 * b)}


EXERCISES = (
    Exercise(
        "parametros",
        lambda draw: {**sizes(draw), "m": draw.integer(4, 256)},
        Number(lambda v: 2 * v["capas"] * adapter_parameters(v["d"], v["m"]), 0),
    ),
    Exercise("presupuesto", budget, Number(width_that_fits, 0)),
    Exercise(
        "he_xavier",
        lambda draw: {"d": draw.one_of(WIDTHS), "m": draw.integer(64, 700)},
        Number(lambda v: math.sqrt(v["d"] / (v["d"] + v["m"]))),
    ),
    Exercise(
        "desviacion",
        lambda draw: {
            "d": draw.one_of(WIDTHS),
            "m": draw.integer(16, 300),
            "v": draw.decimal(0.2, 3.0),
            "s": draw.decimal(0.5, 4.0),
        },
        Number(lambda v: v["s"] ** 2 * 2 * v["m"] * v["d"] * v["v"] / (v["d"] + v["m"]) ** 2),
    ),
    Exercise("gradiente_u", first_step, Number(lambda v: v["s"] * (v["x1"] * v["d1"] + v["x2"] * v["d2"]) * v["g"])),
    Exercise(
        "segundo_paso",
        lambda draw: {
            "r": draw.decimal(0.5, 6.0),
            "x1": draw.decimal(0.5, 5.0),
            "s": draw.decimal(0.25, 4.0),
            "g": -draw.decimal(0.1, 3.0),
            "eta": draw.decimal(0.001, 0.1, 4),
        },
        Number(lambda v: -v["eta"] * v["s"] ** 2 * v["g"] ** 2 * v["r"] * v["x1"]),
    ),
    Exercise(
        "memoria_ad",
        lambda draw: {"base": draw.decimal(20.0, 400.0, 1), "ad": draw.decimal(0.1, 9.9)},
        Number(lambda v: 12 * (v["base"] - v["ad"]), 1e-4),
    ),
    Exercise(
        "coste",
        lambda draw: {**sizes(draw), "t": draw.integer(16, 512)},
        Expression(
            lambda v, case: v["t"] * v["capas"] * 2 * 2 * v["d"] * case["m"],
            lambda _: [{"m": m} for m in (1, 8, 64)],
        ),
    ),
    Exercise(
        "regla",
        lambda draw: {"corte": draw.integer(3, 200), "s": draw.decimal(1.1, 5.0)},
        Expression(
            lambda v, case: (
                case["b"] * max(0, case["a"] * case["h"])
                if case["bloque"] <= v["corte"]
                else v["s"] * case["b"] * max(0, case["a"] * case["x"])
            ),
            lambda v: [
                {"bloque": v["corte"] + step, "h": h, "x": x, "a": 1.5, "b": -2.0}
                for step in (-1, 0, 1, 5)
                for h, x in ((2.0, -3.0), (-1.0, 4.0), (0.5, 0.25))
            ],
        ),
    ),
    Exercise("f1_estricto", predictions, Number(lambda v: 2 * v["c"] / (v["n"] + v["p"]))),
    Exercise("ignoradas", padded, Number(lambda v: v["b"] * v["t"] - v["n"], 0)),
    Exercise(
        "estado",
        lambda draw: {"capas": draw.integer(4, 80), "por": draw.integer(1, 5)},
        Number(lambda v: v["capas"] * (4 * v["por"] + 4) + 2, 0),
    ),
    Exercise(
        "pasos",
        lambda draw: {"ms": draw.integer(80, 900), "n": draw.integer(100, 3000), "razon": draw.decimal(0.3, 0.75, 3)},
        Number(lambda v: math.floor(round(v["n"] / v["razon"], 9)), 0),
    ),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
