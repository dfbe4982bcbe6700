"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.hf_finetune.exercises --team my-team           prints the statements
python -m projects.hf_finetune.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values


def window(draw: Draw) -> Values:
    """Three micro-batches of different sizes with their mean losses."""
    values: Values = {f"n{i}": draw.integer(1, 32) for i in (1, 2, 3)}
    return {**values, **{f"l{i}": draw.decimal(0.2, 3.0, 3) for i in (1, 2, 3)}}


def window_mean(v: Values) -> float:
    """The sum of all losses over the number of all sentences."""
    return sum(v[f"n{i}"] * v[f"l{i}"] for i in (1, 2, 3)) / sum(v[f"n{i}"] for i in (1, 2, 3))


def mixing(draw: Draw) -> Values:
    """A weight, its pretrained value and the probability of mixout."""
    values = {"w": draw.decimal(0.5, 3.0), "u": -draw.decimal(0.1, 2.0), "p": draw.decimal(0.1, 0.9)}
    return {**values, "g": draw.decimal(0.2, 4.0), "eta": draw.decimal(0.001, 0.1, 3)}


def perturbed(draw: Draw) -> Values:
    """Two weights, their gradient and γ."""
    values = {name: draw.decimal(0.3, 5.0) for name in ("w1", "w2", "g1", "g2")}
    return {**values, "gamma": draw.decimal(0.001, 0.05, 3)}


def delta(v: Values) -> float:
    """The first component of γ·‖w‖·g/‖g‖."""
    return v["gamma"] * math.hypot(v["w1"], v["w2"]) * v["g1"] / math.hypot(v["g1"], v["g2"])


def resumed(draw: Draw) -> Values:
    """A training interrupted somewhere."""
    return {
        "n": draw.integer(700, 4999),
        "b": draw.one_of((16, 24, 32, 48)),
        "c": draw.integer(40, 400),
    }


def sentences_left(v: Values) -> int:
    """Sentences of the epoch that the resumed process must still see."""
    per_epoch = -(-v["n"] // v["b"])
    return v["n"] - (v["c"] % per_epoch) * v["b"]


def bins(draw: Draw) -> Values:
    """Two filled bins of a reliability diagram."""
    values: Values = {"n1": draw.integer(20, 200), "n2": draw.integer(20, 300)}
    values |= {"c1": draw.decimal(0.51, 0.6, 3), "c2": draw.decimal(0.81, 0.9, 3)}
    return {**values, "a1": draw.decimal(0.3, 0.5, 3), "a2": draw.decimal(0.5, 0.8, 3)}


def calibration_error(v: Values) -> float:
    """Σ |bin|/n · |accuracy − confidence|."""
    total = v["n1"] + v["n2"]
    return sum(v[f"n{i}"] / total * abs(v[f"a{i}"] - v[f"c{i}"]) for i in (1, 2))


def counted(draw: Draw) -> Values:
    """A confusion matrix of two classes."""
    return {name: draw.integer(5, 200) for name in ("aa", "ab", "ba", "bb")}


def macro_f1(v: Values) -> float:
    """Mean of both classes' 2·TP/(2·TP + FP + FN)."""
    wrong = v["ab"] + v["ba"]
    return (2 * v["aa"] / (2 * v["aa"] + wrong) + 2 * v["bb"] / (2 * v["bb"] + wrong)) / 2


EXERCISES = (
    Exercise("ventana", window, Number(window_mean)),
    Exercise(
        "media_de_medias",
        window,
        Number(lambda v: sum(v[f"l{i}"] for i in (1, 2, 3)) / 3 - window_mean(v)),
    ),
    Exercise("mezcla", mixing, Number(lambda v: v["u"] + (v["w"] - v["u"]) / (1 - v["p"]))),
    Exercise("varianza", mixing, Number(lambda v: (v["w"] - v["u"]) ** 2 * v["p"] / (1 - v["p"]))),
    Exercise("paso_olvidado", mixing, Number(lambda v: -v["eta"] * (1 - v["p"]) * v["g"])),
    Exercise("delta", perturbed, Number(delta)),
    Exercise(
        "subida",
        perturbed,
        Number(lambda v: v["gamma"] * math.hypot(v["w1"], v["w2"]) * math.hypot(v["g1"], v["g2"])),
    ),
    Exercise(
        "embeddings",
        lambda draw: {
            "filas": draw.integer(8000, 120_000),
            "vistas": draw.integer(50, 900),
            "gamma": draw.decimal(0.001, 0.02, 3),
        },
        Number(lambda v: v["gamma"] * math.sqrt(v["filas"] / v["vistas"])),
    ),
    Exercise("reanudar", resumed, Number(sentences_left, 0)),
    Exercise(
        "plan",
        lambda draw: {"total": draw.integer(100, 999), "subida": draw.integer(5, 60), "eta": draw.decimal(1.0, 9.0)},
        Expression(
            lambda v, case: (
                v["eta"] * min(case["t"] / v["subida"], (v["total"] - case["t"]) / (v["total"] - v["subida"]))
            ),
            lambda v: [{"t": t} for t in (0, v["subida"] // 2, v["subida"], v["subida"] + 7, v["total"] - 1)],
        ),
    ),
    Exercise("calibracion", bins, Number(calibration_error)),
    Exercise("macro_f1", counted, Number(macro_f1)),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
