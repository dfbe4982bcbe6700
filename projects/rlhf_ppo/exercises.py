"""What the exercises' numbers are for each team, and what their answers are.

python -m projects.rlhf_ppo.exercises --team my-team           prints the statements
python -m projects.rlhf_ppo.exercises --team my-team --check   checks answers/my-team.toml
"""

import math
from pathlib import Path

from shared.exercises import Draw, Exercise, Expression, Number, Sheet, run
from shared.exercises.exercise import Values


def sigmoid(x: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-x))


def rewards(draw: Draw) -> Values:
    """Of a preferred and a rejected text, in either order of size."""
    return {"ra": draw.decimal(-2.5, 2.5), "rb": draw.decimal(-2.5, 2.5)}


def pairs_needed(v: Values) -> int:
    """The smallest n whose half-width is small enough."""
    return math.ceil(round(1.96**2 * v["p"] * (1 - v["p"]) / v["h"] ** 2, 9))


def three_tokens(draw: Draw) -> Values:
    """A reward at the end, three values and λ."""
    values: Values = {name: draw.decimal(0.1, 0.9) for name in ("v1", "v2", "v3")}
    return {**values, "r": draw.decimal(1.0, 3.0), "lam": draw.decimal(0.5, 0.99)}


def first_advantage(v: Values) -> float:
    """δ₁ + λδ₂ + λ²δ₃."""
    deltas = (v["v2"] - v["v1"], v["v3"] - v["v2"], v["r"] - v["v3"])
    return sum(v["lam"] ** back * delta for back, delta in enumerate(deltas))


def token(draw: Draw) -> Values:
    """Two log-probabilities of one token, its advantage and ε; about half of them are clipped."""
    old = -draw.decimal(0.8, 3.0)
    sign = draw.one_of((-1, 1))
    return {
        "viejo": old,
        "nuevo": round(old + draw.one_of((-1, 1)) * draw.decimal(0.05, 0.6), 2),
        "a": sign * draw.decimal(0.5, 2.5),
        "eps": draw.one_of((0.1, 0.15, 0.2, 0.25)),
    }


def clipped_surrogate(v: Values) -> float:
    """−min(ρA, clip(ρ)A)."""
    ratio = math.exp(v["nuevo"] - v["viejo"])
    held = min(max(ratio, 1 - v["eps"]), 1 + v["eps"])
    return -min(ratio * v["a"], held * v["a"])


def two_tokens(draw: Draw) -> Values:
    """One token whose ratio is beyond 1 + ε, with an advantage of either sign, and one within."""
    first, second = -draw.decimal(1.0, 3.0), -draw.decimal(1.0, 3.0)
    return {
        "viejo1": first,
        "nuevo1": round(first + draw.decimal(0.3, 0.6), 2),
        "a1": draw.one_of((-1, 1)) * draw.decimal(0.5, 2.5),
        "viejo2": second,
        "nuevo2": round(second + draw.one_of((-1, 1)) * draw.decimal(0.01, 0.08), 2),
        "a2": draw.decimal(0.5, 2.5),
        "eps": draw.one_of((0.1, 0.15, 0.2, 0.25)),
    }


def surrogate_gradients(v: Values) -> float:
    """Σ −ρA over the tokens whose free term is the smaller one."""
    total = 0.0
    for n in "12":
        ratio, advantage = math.exp(v[f"nuevo{n}"] - v[f"viejo{n}"]), v[f"a{n}"]
        beyond = ratio > 1 + v["eps"] if advantage > 0 else ratio < 1 - v["eps"]
        total -= 0.0 if beyond else ratio * advantage
    return total


def clipped_value(v: Values) -> float:
    """½ of the larger squared error."""
    held = v["viejo"] + min(max(v["nuevo"] - v["viejo"], -v["c"]), v["c"])
    return 0.5 * max((v["nuevo"] - v["r"]) ** 2, (held - v["r"]) ** 2)


def two_distributions(draw: Draw) -> Values:
    """Two probabilities of each; the third is what is left."""
    return {name: draw.decimal(0.1, 0.45) for name in ("p1", "p2", "q1", "q2")}


def exact_divergence(v: Values) -> float:
    """Σ p log(p/q)."""
    p = (v["p1"], v["p2"], 1 - v["p1"] - v["p2"])
    q = (v["q1"], v["q2"], 1 - v["q1"] - v["q2"])
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def padded_batch(draw: Draw) -> Values:
    """A batch in which some responses ended by themselves."""
    n, t = draw.integer(8, 96), draw.integer(16, 128)
    return {"n": n, "t": t, "m": draw.integer(2, n - 1), "l": draw.integer(2, t - 1)}


EXERCISES = (
    Exercise("preferencia", rewards, Number(lambda v: sigmoid(v["ra"] - v["rb"]))),
    Exercise("gradiente_bt", rewards, Number(lambda v: -sigmoid(v["rb"] - v["ra"]))),
    Exercise(
        "techo",
        lambda draw: {"tau": draw.decimal(0.2, 1.5), "d": draw.decimal(0.1, 2.0)},
        Number(lambda v: sigmoid(v["d"] / v["tau"])),
    ),
    Exercise(
        "parejas",
        lambda draw: {"p": draw.decimal(0.55, 0.9), "h": draw.decimal(0.01, 0.06, 3)},
        Number(pairs_needed, 0),
    ),
    Exercise("ventaja", three_tokens, Number(first_advantage)),
    Exercise(
        "retorno",
        lambda draw: {
            "gamma": draw.decimal(0.8, 0.99),
            "r1": draw.decimal(-1.0, -0.1),
            "v1": draw.decimal(0.1, 2.0),
            "v2": draw.decimal(1.5, 4.0),
        },
        Number(lambda v: v["r1"] + v["gamma"] * v["v2"]),
    ),
    Exercise("recorte", token, Number(clipped_surrogate)),
    Exercise("gradiente_recorte", two_tokens, Number(surrogate_gradients)),
    Exercise(
        "valor",
        lambda draw: {
            "viejo": draw.decimal(0.0, 1.0),
            "nuevo": draw.decimal(1.1, 2.0),
            "r": draw.decimal(-1.0, 3.0),
            "c": draw.one_of((0.1, 0.2, 0.3)),
        },
        Number(clipped_value),
    ),
    Exercise(
        "k3",
        lambda draw: {"lp": -draw.decimal(1.0, 3.0), "lq": -draw.decimal(0.2, 0.9)},
        Number(lambda v: math.expm1(v["lq"] - v["lp"]) - (v["lq"] - v["lp"])),
    ),
    Exercise("kl", two_distributions, Number(exact_divergence)),
    Exercise(
        "penalizacion",
        lambda draw: {"beta": draw.decimal(0.01, 0.5, 3)},
        Expression(
            lambda v, case: -v["beta"] * (case["lp"] - case["lq"]),
            lambda _: [{"lp": -1.0, "lq": -2.5}, {"lp": -3.0, "lq": -0.5}, {"lp": -0.25, "lq": -0.25}],
        ),
    ),
    Exercise(
        "beta",
        lambda draw: {
            "beta": draw.decimal(0.01, 0.3, 3),
            "n": draw.integer(8, 64, 8),
            "h": draw.integer(200, 2000, 100),
            "k": draw.integer(5, 40),
        },
        Number(lambda v: v["beta"] * (1 + 0.2 * v["n"] / v["h"]) ** v["k"]),
    ),
    Exercise("mascara", padded_batch, Number(lambda v: v["m"] / (v["m"] * v["l"] + (v["n"] - v["m"]) * v["t"]))),
)

SHEET = Sheet(Path(__file__).parent, EXERCISES)

if __name__ == "__main__":
    run(SHEET)
