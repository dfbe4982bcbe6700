"""Exercises as a project declares them in exercises.toml: how the numbers are drawn, and the answer as an expression.

    widths = [256, 512]

    [gradiente]
    draw = { "x, y" = "0.50..5.00", d = "widths", k = [2, 4], t = "8..64 step 8", size = "= 2 * d * t" }
    answer = "x * y * d"
    tolerance = 1e-4         # relative, by default 0.001; a whole number has to be the very one

    [coste]
    draw = { t = "16..512" }
    answer = "t * r * s"     # with cases, the answer is a formula: it is compared on every combination of them
    cases = { r = [1, "t + 1"], s = [2, 3] }

The numbers are drawn in the order in which they stand; names that share a rule one after the other. Whole bounds draw
whole numbers, others as many decimals as the bounds are written with. A bound may be an expression of the values before
it: "2..n - 1" draws a whole number. A value that begins with "=" follows from those before it, and draws nothing. One
of a list is drawn; a list that several exercises need has a name at the top of the file. What is too long for one table
is said in a list of two. `from = "gradiente"` begins with the numbers that the team has in that exercise, which stands
above.
"""

import re
import tomllib
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from shared.course.exercises.exercise import Draw, Exercise, Expression, Number, Values
from shared.course.exercises.expressions import evaluate
from shared.errors import UserError

FILE = "exercises.toml"
RANGE = re.compile(r"(.+?)\.\.(.+?)(?: step (\d+))?")
DECIMAL = re.compile(r"-?\d+\.(\d+)")
KEYS = {"draw", "answer", "tolerance", "cases", "from"}


def read_exercises(folder: Path) -> list[Exercise]:
    """The exercises of a project, in the order of the file.

    Raises:
        UserError: If the file is missing or no TOML, or an exercise lacks a draw or an answer.
    """
    path = folder / FILE
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    lists = {name: said for name, said in declared.items() if isinstance(said, list)}
    exercises: dict[str, Exercise] = {}
    for name, said in declared.items():
        if name not in lists:
            exercises[name] = _exercise(f"{path}, [{name}]", name, said, lists, exercises)
    return list(exercises.values())


def _exercise(
    place: str, name: str, said: dict[str, Any], lists: dict[str, list[Any]], above: dict[str, Exercise]
) -> Exercise:
    if not {"draw", "answer"} <= said.keys() <= KEYS:
        raise UserError(f"{place}: needs draw and answer, and may have tolerance, cases and from")
    if said.get("from", name) not in {name, *above}:
        raise UserError(f"{place}: no exercise {said['from']!r} stands above")
    answer: Number | Expression
    if "cases" in said:
        answer = Expression(partial(_formula, said["answer"]), partial(_cases, said["cases"]))
    else:
        answer = Number(partial(evaluate, said["answer"]), said.get("tolerance"))
    tables = said["draw"] if isinstance(said["draw"], list) else [said["draw"]]
    rules = [(name, rule) for table in tables for names, rule in table.items() for name in names.split(", ")]
    rules = [(name, lists.get(rule, rule) if isinstance(rule, str) else rule) for name, rule in rules]
    return Exercise(name, partial(_drawn, place, rules, above.get(said.get("from", ""))), answer)


def _drawn(place: str, rules: list[tuple[str, Any]], begun: Exercise | None, draw: Draw) -> Values:
    values: Values = begun.draw(draw.of(begun.id)) if begun else {}
    for name, rule in rules:
        values[name] = _one(f"{place}: {name}", rule, draw, values)
    return values


def _one(place: str, rule: Any, draw: Draw, values: Values) -> Any:
    if isinstance(rule, list):
        return draw.one_of(rule)
    if rule.startswith("="):
        return evaluate(rule[1:], values)
    found = RANGE.fullmatch(rule)
    wrong = UserError(f"{place}: {rule!r} is neither a range, a list nor '= expression'")
    if not found:
        raise wrong
    low, high = (evaluate(bound, values) for bound in found.groups()[:2])
    decimal = DECIMAL.fullmatch(found[1])
    if low > high or not (decimal or isinstance(low + high, int)):
        raise wrong
    return (
        draw.decimal(low, high, len(decimal[1])) if decimal else draw.integer(int(low), int(high), int(found[3] or 1))
    )


def _formula(answer: str, values: Values, case: Values) -> float:
    return evaluate(answer, {**values, **case})


def _cases(cases: dict[str, list[Any]], values: Values) -> list[Values]:
    found = [
        [evaluate(value, values) if isinstance(value, str) else value for value in each] for each in cases.values()
    ]
    return [dict(zip(cases, case, strict=True)) for case in product(*found)]
