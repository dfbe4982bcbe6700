"""Where each number of a README comes from: the cell of its CSV, and the lines of the logs that give that cell again.

A number in a table is looked for in the CSV that the table's mark names, by its row and its column (aligned.py); one in
a sentence among the numbers of the tables, and in rows of CSV files whose words the sentence says. What is found counts
if the CSV's seal cites logs for that very cell and the logs give it: a file of constants proves nothing.
"""

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course.grading import aligned
from shared.course.grading.children import run
from shared.course.grading.rubric import Limits
from shared.course.grading.stated import Stated, as_number, stated
from shared.course.project import Project, read_json_or_none
from shared.report import blocks

RAW = 100  # rows; a longer table is raw material, not something that a sentence states
Citations = dict[str, list[dict[str, dict[str, Any]]]]
"""CSV → for each of its rows, column → {"function", "of", "lines": how many, "logs": [run, …]}."""


@dataclass(frozen=True)
class Cell:
    """A value that a number may come from.

    Attributes:
        file: The CSV's or JSON's name.
        row: Its words.
        column: Name of the column, or what is made of it.
        value: The number.
        cited: How logs give it; one citation, or two where it is told beside another row; none if no log does.
        sealed: Whether the file is as it was sealed.
    """

    file: str
    row: str
    column: str
    value: float
    cited: tuple[dict[str, Any], ...] = ()
    sealed: bool = True


def report(project: Project, citations: Citations) -> list[dict[str, Any]]:
    """One entry for each number of the project's README.

    Its status is "traced" (logs give it), "sealed" (it stands in the results, and no log gives it), "untraced", or
    "constant" (no measurement).

    Args:
        project: Whose.
        citations: Those of its tables that are as they were sealed, with or without one; see `read_citations`.
    """
    shown = {readme: text_of(readme) for readme in (project.folder / "README.md", project.results / "README.md")}
    first = project.folder / "README.md"
    numbers = stated(shown[first])
    placed = {readme: in_tables(text, project.results, citations) for readme, text in shown.items()}
    pool = [cell for each in placed.values() for cell in each.values()]
    cells = list(cells_of(project.results, citations))
    tables = blocks(shown[first]).values()
    entries = []
    for number in numbers:
        within = any(number.line in block.lines for block in tables)
        cell = placed[first].get(number) if within else in_sentence(number, pool, cells)
        entries.append(entry(number, cell))
    return entries


def text_of(readme: Path) -> str:
    """A README's text, or none."""
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def in_tables(readme: str, results: Path, citations: Citations) -> dict[Stated, Cell]:
    """The cells of the measurements in a README's blocks, of those that have one."""
    numbers = [number for number in stated(readme) if number.is_measurement]
    found = {}
    for block in blocks(readme).values():
        named = [(name, index, row) for name in block.sources for index, row in enumerate(rows_of(results, name))]
        origins, rows = [each[:2] for each in named], [row for _, _, row in named]
        inside = [number for number in numbers if number.line in block.lines]
        for number, place in aligned.align(inside, rows).items():
            found[number] = cell_at(number, place, rows, origins, citations)
    return found


def rows_of(results: Path, name: str) -> list[dict[str, str]]:
    """Rows of a CSV of the results; none if the name is not that of one."""
    path = results / name
    if path.suffix != ".csv" or path.parent != results or not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cell_at(
    number: Stated,
    place: aligned.Place,
    rows: Sequence[dict[str, str]],
    origins: Sequence[tuple[str, int]],
    citations: Citations,
) -> Cell:
    """The cell of a number; one that is told beside another row needs the citations of both."""
    rule = place.rule
    indices = [place.index] if rule.beside is None else [place.index, rule.beside]
    cited = [cited_at(*origins[index], rule.column, citations) for index in indices]
    words = (" / " if rule.how == "ratio" else " − ").join(name_of(rows[index]) for index in indices)
    value = rule.value(rows, place.index)
    file = origins[place.index][0]
    column = f"100 × {rule.column}" if rule.how == "points" else rule.column
    whole = tuple(each for each in cited if each)
    return Cell(
        file,
        words,
        column,
        number.value if value is None else value,
        whole if len(whole) == len(cited) else (),
        file in citations,
    )


def cited_at(name: str, index: int, column: str, citations: Citations) -> dict[str, Any] | None:
    """How logs give a cell, if they do."""
    rows = citations.get(name, [])
    return rows[index].get(column) if index < len(rows) else None


def name_of(row: dict[str, str]) -> str:
    """What names a row: its first cell that is no number."""
    return next((cell for cell in row.values() if cell and as_number(cell) is None), "")


def cells_of(results: Path, citations: Citations) -> Iterator[tuple[Cell, dict[str, str]]]:
    """Every number of the short CSV files and of the JSON files, with its row."""
    for path in sorted(results.glob("*.csv")):
        rows = rows_of(results, path.name)
        for index, row in enumerate(rows if len(rows) <= RAW else ()):
            for column, text in row.items():
                if (value := as_number(text)) is not None:
                    cited = cited_at(path.name, index, column, citations)
                    told = (cited,) if cited else ()
                    yield Cell(path.name, name_of(row), column, value, told, path.name in citations), row
    for path in sorted(results.glob("*.json")):
        if not path.name.endswith(".seal.json"):
            for name, value in leaves(json.loads(path.read_text(encoding="utf-8"))):
                yield Cell(path.name, "", name, value), {"": name.rpartition(".")[2].replace("_", " ")}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value by its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


def in_sentence(number: Stated, pool: Sequence[Cell], cells: Sequence[tuple[Cell, dict[str, str]]]) -> Cell | None:
    """The cell of a number outside the tables: one that a table shows, or one whose row the line speaks of."""
    if not number.is_measurement:
        return None
    unsigned = number.text[0].isdigit()  # "11.3 points behind"
    said = [cell for cell in pool if number.rounds_from(abs(cell.value) if unsigned else cell.value)]
    said += [cell for cell, row in cells if number.rounds_from(cell.value) and aligned.mentions(row, number.context)]
    return max(said, key=lambda cell: bool(cell.cited), default=None)


def entry(number: Stated, cell: Cell | None) -> dict[str, Any]:
    """What is known of a number, as JSON values."""
    said: dict[str, Any] = {"number": number.text, "line": number.line, "context": number.context[:160]}
    if not number.is_measurement:
        return {**said, "status": "constant"}
    if cell is None or not cell.sealed:
        return {**said, "status": "untraced"}
    source = {"file": cell.file, "row": cell.row, "column": cell.column, "value": cell.value}
    return {**said, "status": "traced" if cell.cited else "sealed", "source": source, "cited": list(cell.cited)}


def read_citations(project: Project, limits: Limits, scratch: Path) -> Citations:
    """The citations of a project's tables, recomputed by a child with limits: what it reads is a stranger's."""
    out = scratch / "citations.json"
    results = f"projects/{project.name}/results"
    run(
        [sys.executable, "-m", "shared.course.grading.citations", results, str(out)],
        project.root,
        limits,
        with_key=True,
    )
    return read_json_or_none(out) or {}
