"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.pretrain_lm.exercises --team my-team           prints the statements
python -m projects.pretrain_lm.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values

WIDTHS = (96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768)


def shape(draw: Draw) -> Values:
    """A model's sizes."""
    return {
        "v": draw.integer(500, 50_000),
        "c": draw.integer(32, 1024),
        "d": draw.one_of(WIDTHS),
        "capas": draw.integer(2, 24),
    }


def parameters(v: Values) -> int:
    """Embeddings, positions, blocks of 12d² + 13d, and the last norm."""
    d = v["d"]
    return v["v"] * d + v["c"] * d + v["capas"] * (12 * d * d + 13 * d) + 2 * d


def seen_changed(v: Values) -> float:
    """Masks always differ; a random token differs unless it is the same one."""
    return v["n"] * v["p"] / 100 * (0.8 + 0.1 * (1 - 1 / v["v"]))


def followers(draw: Draw) -> Values:
    """Counts behind a history."""
    return {
        "s": draw.integer(60, 900),
        "t": draw.integer(8, 50),
        "c": draw.integer(2, 30),
        "q": draw.decimal(0.001, 0.09, 4),
        "D": draw.decimal(0.4, 0.95),
    }


def nucleus(draw: Draw) -> Values:
    """Three probabilities in falling order, and a p that one to five of them reach, and none of them just so."""
    a, b, c = draw.decimal(0.3, 0.42), draw.decimal(0.18, 0.28), draw.decimal(0.1, 0.16)
    return {"a": a, "b2": b, "c3": c, "p": round(draw.integer(35, 65) / 100 + 0.005, 3)}


def likeliest(v: Values) -> float:
    """The first one's share of the smallest set that reaches p."""
    total = 0.0
    for chance in (v["a"], v["b2"], v["c3"], 0.06, 0.04):
        total += chance
        if round(total, 9) >= v["p"]:
            break
    return v["a"] / total


EXERCISES = (
    Exercise("parametros", shape, Number(parameters, 0)),
    Exercise(
        "bits",
        lambda draw: {
            "bytes": draw.integer(50_000, 900_000),
            "tokens": draw.integer(12_000, 45_000),
            "nats": draw.decimal(2.5, 6.5, 3),
        },
        Number(lambda v: v["nats"] * v["tokens"] / math.log(2) / v["bytes"]),
    ),
    Exercise(
        "perplejidad",
        lambda draw: {
            "n1": draw.integer(100, 900),
            "n2": draw.integer(1000, 9000),
            "l1": draw.decimal(4.5, 6.5, 3),
            "l2": draw.decimal(2.5, 4.4, 3),
        },
        Number(lambda v: math.exp((v["n1"] * v["l1"] + v["n2"] * v["l2"]) / (v["n1"] + v["n2"]))),
    ),
    Exercise(
        "fragmentos",
        lambda draw: {"n": draw.integer(3000, 90_000), "c": draw.integer(17, 130)},
        Number(lambda v: math.ceil((v["n"] + 1) / (v["c"] - 1)), 0),
    ),
    Exercise(
        "ochenta",
        lambda draw: {"n": draw.integer(200, 5000), "p": draw.integer(8, 60), "v": draw.integer(20, 60)},
        Number(seen_changed, 1e-4),
    ),
    Exercise(
        "visitas",
        lambda draw: {"p": draw.integer(5, 50), "k": draw.integer(2, 9)},
        Number(lambda v: 100 * (1 - (1 - v["p"] / 100) ** v["k"])),
    ),
    Exercise(
        "kneser_ney",
        followers,
        Number(lambda v: (v["c"] - v["D"]) / v["s"] + v["D"] * v["t"] / v["s"] * v["q"]),
    ),
    Exercise(
        "rotacion",
        lambda draw: {"e": 2 * draw.integer(8, 64), "i": draw.integer(1, 7), "m": draw.integer(2, 900)},
        Number(lambda v: v["m"] * 10_000 ** (-2 * v["i"] / v["e"])),
    ),
    Exercise(
        "cache",
        lambda draw: {
            "capas": draw.integer(2, 32),
            "d": draw.one_of(WIDTHS),
            "b": draw.integer(1, 64),
            "t": draw.integer(50, 4000),
        },
        Number(lambda v: 2 * v["capas"] * v["d"] * v["b"] * v["t"] * 4 / 1e6),
    ),
    Exercise(
        "distintos",
        lambda draw: {"n": draw.integer(200, 2000), "q": draw.integer(3, 90)},
        Number(lambda v: v["q"] / (v["n"] - 1)),
    ),
    Exercise("top_p", nucleus, Number(likeliest)),
    Exercise(
        "procesos",
        lambda draw: {"l1": draw.decimal(5.0, 7.0), "l2": draw.decimal(1.0, 2.9)},
        Expression(
            lambda v, case: (
                (case["n1"] * v["l1"] + case["n2"] * v["l2"]) / (case["n1"] + case["n2"]) - (v["l1"] + v["l2"]) / 2
            ),
            lambda _: [{"n1": 1, "n2": 3}, {"n1": 50, "n2": 7}, {"n1": 12, "n2": 13}],
        ),
    ),
    Exercise(
        "atencion",
        lambda draw: {"capas": draw.integer(2, 48), "d": draw.one_of(WIDTHS)},
        Expression(
            lambda v, case: 2 * v["capas"] * case["t"] ** 2 * v["d"], lambda _: [{"t": t} for t in (1, 7, 64, 512)]
        ),
    ),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
