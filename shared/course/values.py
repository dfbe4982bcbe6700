"""Numbers in captions and cards, resolved from results/ by an expression and never typed by hand.

    {results:summary.csv?method=LoRA, r = 16&column=accuracy|.3f}      a cell of the one row that matches
    {results:environment.json?key=versions.torch}                      a value of a JSON file

What stands behind `|` is a Python format; a CSV needs `column=`, a JSON file `key=`; the other pairs choose the row.
"""

import csv
import json
import re
from pathlib import Path
from typing import Any

from shared.course.project import inside
from shared.errors import UserError

EXPRESSION = re.compile(r"\{results:([^{}]*)\}")


def resolve(text: str, results: Path) -> str:
    """The text with every expression replaced by its value.

    Raises:
        UserError: If an expression cannot be resolved; the line quotes it.
    """
    return EXPRESSION.sub(lambda match: evaluate(match[1], results), text)


def sources(text: str) -> set[str]:
    """The files, relative to the project, that a text's expressions read."""
    return {f"results/{match[1].partition('?')[0].partition('|')[0]}" for match in EXPRESSION.finditer(text)}


def evaluate(expression: str, results: Path) -> str:
    """One expression's value, formatted."""
    query, _, form = expression.partition("|")
    name, _, conditions = query.partition("?")
    try:
        path = inside(results, name)
        pairs = dict(_pair(part) for part in conditions.split("&"))
        value = _from_json(path, pairs) if path.suffix == ".json" else _from_csv(path, pairs)
        return format(_number(value) if form else value, form)
    except (UserError, ValueError, TypeError, OSError) as error:
        raise UserError(f"{{results:{expression}}}: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{text!r} is not name=value")
    return key, value


def _from_csv(path: Path, pairs: dict[str, str]) -> str:
    column = pairs.pop("column", None)
    if column is None:
        raise UserError("column= is missing")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        unknown = sorted({column, *pairs} - set(reader.fieldnames or ()))
        if unknown:
            raise UserError(f"no column {unknown[0]!r}")
        rows = [row for row in reader if all(row[key] == value for key, value in pairs.items())]
    if len(rows) != 1:
        raise UserError(f"{len(rows)} rows match, one is needed")
    return rows[0][column]


def _from_json(path: Path, pairs: dict[str, str]) -> Any:
    value = json.loads(path.read_text(encoding="utf-8"))
    for part in pairs.get("key", "").split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"no key {pairs.get('key', '')!r}")
        value = value[part]
    if isinstance(value, (dict, list)):
        raise UserError("the key names no single value")
    return value


def _number(value: Any) -> float | int:
    """A value as a number, so that a format such as `,` or `.1%` applies.

    Raises:
        ValueError: If it is none.
    """
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise ValueError(f"{value!r} is no number")
