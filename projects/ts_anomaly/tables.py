"""Every table of the results: what is shown of a row of its CSV, in English and Spanish, as tables.toml says."""

import string
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared import study
from shared.study import Table, table

Row = dict[str, Any]
WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMES, SPANISH = WORDS["names"], WORDS["spanish"]


def span(name: str) -> study.Shown:
    """A value with its interval, and how much it spreads over seeds."""

    def shown(row: Row, _: list[Row]) -> str:
        spread = f", sd {row[f'{name}_sd']:.2f}" if row["seeds"] > 1 else ""
        return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f}{spread})"

    return shown


def form(text: str) -> study.Shown:
    """A format, or nothing where a value is missing; a detector is called as the tables call it."""
    names = [name for _, name, _, _ in string.Formatter().parse(text) if name]

    def shown(row: Row, _: list[Row]) -> str:
        named = row | ({"detector": NAMES[row["detector"]]} if "detector" in row else {})
        return "" if any(row[name] == "" for name in names) else text.format(**named)

    return shown


def _declared(name: str) -> Table:
    columns = [
        (head, es, span(text.removeprefix("span ")) if text.startswith("span ") else form(text))
        for head, es, text in WORDS["tables"][name]
    ]
    return table(name, *columns, spanish=SPANISH)


CHOSEN = {"arm": "brazo", "dataset": "serie", "lr": "tasa", "seed": "semilla", "steps": "pasos"}
CANDIDATES = study.Table(
    "candidates",
    (
        study.CELL,
        *(study.setting(name, head=name, es=es) for name, es in CHOSEN.items()),
        study.FINAL,
        study.best("validation_auc_pr", head="validation AUC-PR", show="{validation_auc_pr:.3f}"),
        study.last("parameters", head="parameters", es="parámetros"),
        study.last("seconds", digits=1),
        study.origin(),
    ),
)
DECLARED = {name: _declared(name) for name in WORDS["tables"]}
BENCH = DECLARED["bench"]
ALL: tuple[Table, ...] = (*DECLARED.values(), CANDIDATES)
views: Callable[[Path], dict[str, tuple[Table, list[Row]]]] = lambda out: study.written(out, *ALL)  # noqa: E731
