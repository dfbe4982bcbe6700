"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.lora.exercises --team my-team           prints the statements
python -m projects.lora.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values

WIDTHS = (256, 320, 384, 448, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280)


def per_rank(v: Values) -> int:
    """Parameters that one unit of rank costs in all blocks: four d→d layers, d→m and m→d."""
    return v["capas"] * (4 * 2 * v["d"] + 2 * (v["d"] + v["m"]))


def encoder(draw: Draw) -> Values:
    """A Transformer's sizes."""
    d = draw.one_of(WIDTHS)
    return {"capas": draw.integer(4, 36), "d": d, "m": d * draw.one_of((2, 3, 4)) + draw.integer(0, 31) * 8}


def budget(draw: Draw) -> Values:
    """Sizes, and a budget that some hundred ranks may meet."""
    sizes = encoder(draw)
    base = round(sizes["capas"] * (4 * sizes["d"] ** 2 + 2 * sizes["d"] * sizes["m"]) / 1e6) + draw.integer(5, 60)
    return {**sizes, "base": base, "tope": draw.decimal(1.0, 6.0)}


def rank_that_fits(v: Values) -> int:
    """The largest r with r · cost ≤ budget."""
    return math.floor(round(v["tope"] / 100 * v["base"] * 10**6, 6) / per_rank(v))


def first_step(draw: Draw) -> Values:
    """Two inputs, A, the scale and the gradient of the output."""
    names = ("x1", "x2", "a1", "a2")
    values: Values = {name: draw.decimal(0.5, 5.0) for name in names}
    return {**values, "s": draw.decimal(0.25, 4.0), "g": -draw.decimal(0.1, 3.0)}


def pruning(draw: Draw) -> Values:
    """Millions of weights, and the shares that are pruned and reached by the update."""
    return {"n": draw.decimal(5.0, 90.0), "p": draw.integer(20, 90), "q": draw.integer(15, 95)}


def zeros_left(v: Values) -> float:
    """Pruned weights out of reach stay zero; of those in reach the half under the mask."""
    pruned = v["n"] * v["p"] / 100
    return pruned * (1 - v["q"] / 100 / 2)


EXERCISES = (
    Exercise(
        "parametros",
        lambda draw: {**encoder(draw), "r": draw.integer(2, 64)},
        Number(lambda v: v["r"] * per_rank(v), 0),
    ),
    Exercise("presupuesto", budget, Number(rank_that_fits, 0)),
    Exercise(
        "escala",
        lambda draw: {"r1": draw.integer(2, 31), "r2": draw.integer(32, 256), "alpha": draw.decimal(4.0, 64.0)},
        Number(lambda v: v["alpha"] / v["r1"] * math.sqrt(v["r2"])),
    ),
    Exercise("gradiente", first_step, Number(lambda v: v["s"] * (v["x1"] * v["a1"] + v["x2"] * v["a2"]) * v["g"])),
    Exercise(
        "lora_plus",
        lambda draw: {
            "xa": draw.decimal(0.5, 6.0),
            "s": draw.decimal(0.25, 4.0),
            "g": -draw.decimal(0.1, 3.0),
            "eta": draw.decimal(0.0001, 0.01, 4),
            "ratio": draw.integer(2, 32),
        },
        Number(lambda v: -v["ratio"] * v["eta"] * v["s"] ** 2 * v["xa"] ** 2 * v["g"]),
    ),
    Exercise(
        "rango",
        lambda draw: {
            "d": draw.integer(100, 400),
            "k": draw.integer(100, 400),
            "r1": draw.integer(20, 250),
            "r2": draw.integer(20, 250),
        },
        Number(lambda v: min(min(v["r1"], v["d"], v["k"]) + min(v["r2"], v["d"], v["k"]), v["d"], v["k"]), 0),
    ),
    Exercise(
        "bfloat16",
        lambda draw: {"w": draw.one_of((1.0, 1.25, 1.5, 1.75)), "e": draw.integer(-60, 60)},
        Number(lambda v: v["e"] - 8, 0),
    ),
    Exercise(
        "memoria",
        lambda draw: {"base": draw.decimal(20.0, 400.0, 1), "lora": draw.decimal(0.1, 9.9)},
        Number(lambda v: 12 * (v["base"] - v["lora"]), 1e-4),
    ),
    Exercise(
        "coste",
        lambda draw: {
            "t": draw.integer(16, 512),
            "n": draw.integer(6, 96),
            "d": draw.one_of(WIDTHS),
            "k": draw.one_of(WIDTHS),
        },
        Expression(
            lambda v, case: v["t"] * v["n"] * case["r"] * (v["d"] + v["k"]),
            lambda _: [{"r": r} for r in (1, 3, 64)],
        ),
    ),
    Exercise(
        "regla",
        lambda draw: {"corte": draw.integer(3, 200)},
        Expression(
            lambda v, case: case["alpha"] / (case["r"] if case["r"] <= v["corte"] else math.sqrt(case["r"])),
            lambda v: [
                {"alpha": 16, "r": v["corte"] - 1},
                {"alpha": 16, "r": v["corte"]},
                {"alpha": 3, "r": v["corte"] + 1},
                {"alpha": 8, "r": 4 * v["corte"]},
            ],
        ),
    ),
    Exercise("poda", pruning, Number(zeros_left)),
    Exercise(
        "estado",
        lambda draw: {"bloques": draw.integer(4, 80), "objetivos": draw.integer(1, 7)},
        Number(lambda v: 2 * v["bloques"] * v["objetivos"] + 2, 0),
    ),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
