"""Rows to CSV and back, their mean and spread over seeds, and the tables of a README, which are made from them."""

import csv
import io
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shared.errors import UserError
from shared.files import write_text

TEXTS = ("run", "manifest")  # columns of digests: one of digits only is no number


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of equal keys atomically.

    Raises:
        ValueError: If a row has a key that the first one lacks.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows with numbers as numbers.

    Raises:
        UserError: If there is no such file.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: make the project's results first (make results-<project>)")
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _read(key, value) for key, value in row.items()} for row in csv.DictReader(file)]


def _read(column: str, text: str) -> Any:
    return text if column in TEXTS else _number(text)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def mean_sd(rows: Sequence[dict[str, Any]], *names: str) -> dict[str, float]:
    """Each column's mean in `name`, and in `name_sd` the sample standard deviation (0 for a single row)."""
    columns: dict[str, float] = {}
    for name in names:
        values = [row[name] for row in rows]
        columns[name] = statistics.mean(values)
        columns[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return columns


def spread(row: dict[str, Any], name: str, digits: int = 4) -> str:
    """`mean ± deviation`, as a README's table shows what `mean_sd` computed; a single seed says that it is one."""
    if row.get("seeds") == 1:
        return f"{row[name]:.{digits}f} (1 seed)"
    return f"{row[name]:.{digits}f} ± {row[name + '_sd']:.{digits}f}"


def crossed(rows: Sequence[dict[str, Any]], row_of: str, across: str, of: str = "") -> list[dict[Any, Any]]:
    """A row for each value of the column `row_of`; in it a field for each value of `across`: the row, or `of` it."""
    found: dict[Any, dict[Any, Any]] = {}
    for row in rows:
        found.setdefault(row[row_of], {row_of: row[row_of]})[row[across]] = row[of] if of else row
    return list(found.values())


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a cell does not end it."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])


MARK = re.compile(r"<!-- begin (?P<name>\S+)(?: of (?P<sources>[^\n>]+?))? -->\n")


@dataclass(frozen=True)
class Block:
    """What stands in a README between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Attributes:
        named: CSV files that its mark names, `<!-- begin NAME of a.csv b.csv -->`; most blocks name none.
        sources: CSV files that it is made of: those named, or NAME.csv.
        start: Character at which it begins, behind the mark; `end` is that of the mark at its end.
        lines: Numbers of its lines, from 1.
    """

    named: tuple[str, ...]
    sources: tuple[str, ...]
    start: int
    end: int
    lines: range


def blocks(readme: str) -> dict[str, Block]:
    """The blocks of a README's text by name; one without its mark at the end is none."""
    found = {}
    for mark in MARK.finditer(readme):
        end = readme.find(f"<!-- end {mark['name']} -->", mark.end())
        if end >= 0:
            named = tuple((mark["sources"] or "").split())
            lines = range(*(readme.count("\n", 0, place) + 1 for place in (mark.end(), end)))
            found[mark["name"]] = Block(named, named or (f"{mark['name']}.csv",), mark.end(), end, lines)
    return found


def put_into_readme(readme: Path, name: str, table: str) -> None:
    """Replace what stands in a block.

    Raises:
        UserError: If a mark is missing.
    """
    text = readme.read_text(encoding="utf-8")
    block = blocks(text).get(name)
    if block is None:
        raise UserError(f"{readme} lacks the marks <!-- begin {name} --> and <!-- end {name} -->")
    write_text(readme, f"{text[: block.start]}{table}\n{text[block.end :]}")


def between_marks(readme: Path, name: str) -> str:
    """What stands in a block, for a test that compares it with the files."""
    text = readme.read_text(encoding="utf-8")
    block = blocks(text)[name]
    return text[block.start : block.end - 1]


@runtime_checkable
class View(Protocol):
    """A table that says itself what a README shows of its rows (shared/study.py)."""

    def markdown(self, rows: list[dict[str, Any]], language: str = "en") -> str:
        """The rows in English ("en") or Spanish ("es")."""


Views = Mapping[str, tuple[View, list[dict[str, Any]]]]
"""Block of a README → the table that it shows, and its rows."""


def put_tables(out: Path, views: Views) -> list[str]:
    """Put tables into the READMEs of a project; a folder of results elsewhere has none. Returns what changed.

    A project's README and README.es.md show the tables that answer its question, in English and in Spanish; the
    README.md of the results has room for the others.
    """
    changed = []
    for readme, language in _readmes(out):
        before = readme.read_text(encoding="utf-8")
        for block, (table, rows) in views.items():
            if block in blocks(before):
                put_into_readme(readme, block, table.markdown(rows, language))
        if readme.read_text(encoding="utf-8") != before:
            changed.append(str(readme.relative_to(out.parent)))
            sys.stdout.write(f"{readme}: tables changed\n")
    return changed


def stale_tables(out: Path, views: Views) -> list[str]:
    """What `put_tables` would change, blocks that no table fills, and tables that no README shows: for a test."""
    stale, shown = [], set()
    for readme, language in _readmes(out):
        for name, block in blocks(readme.read_text(encoding="utf-8")).items():
            shown.add(name)
            stale += [f"{readme}: {name}: no {gone}" for gone in block.named if not (out / gone).exists()]
            table, rows = views.get(name, (None, []))
            if table is None or between_marks(readme, name) != table.markdown(rows, language):
                stale.append(f"{readme}: {name}")
    return stale + [f"{name}: in no README" for name in views.keys() - shown]


def _readmes(out: Path) -> list[tuple[Path, str]]:
    """The READMEs of the project whose results these are, each with its language."""
    found = [(out.parent / "README.md", "en"), (out.parent / "README.es.md", "es"), (out / "README.md", "en")]
    return [(readme, language) for readme, language in found if readme.exists()]
