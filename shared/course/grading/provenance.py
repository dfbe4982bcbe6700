"""Where each number of a README comes from: the cell of results/, the runs behind it, their log lines, all recomputed.

A README states numbers rounded; a number is found when a value of results/ rounds to it as it is printed. A mean or a
standard deviation is computed again from the rows of single runs, and a run's number is looked up in its own log.
project.toml says how, in a few lines:

    [provenance]
    runs = "runs.csv"                          one row a run
    where = { final = "1" }                    those that tables are made of
    group = ["arm", "rank"]                    rows that are seeds of one thing
    directory = "runs/lora/results/{cell}"     where a row's run is, if it is still on this machine

Small whole numbers and years are listed as what they are, not as measurements: any file holds a 3.
"""

import csv
import json
import lzma
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course.film.screenplay import read_toml
from shared.course.project import Project, read_json_or_none

LARGEST_LOG = 2**28  # bytes that are read of a log: a small file may unfold to any size

NUMBER = re.compile(
    r"(?<![\w.,/:-])(?P<sign>[+−-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<rest>\.\d+)?(?P<power>e-?\d+)?"
    r"(?P<percent> ?%)?(?P<million> ?M\b)?(?![\w/]|\.\d|,\d)"
)
HIDDEN = re.compile(
    r"```.*?```|`[^`\n]*`|<!--.*?-->|\]\([^)]*\)|https?://\S+"
    r"|^ {4}[^\n#]*",  # a command, but not the remark behind it, which may state what was measured
    re.DOTALL | re.MULTILINE,
)
SMALL = 100  # whole numbers below it are counts and settings
RAW = 100  # rows; a longer table is raw material, not something that a README states
YEARS = range(1900, 2100)
EXACT = 1e-9  # a recomputed statistic equals the stored one to rounding


@dataclass(frozen=True)
class Stated:
    """A number as a README prints it.

    Attributes:
        text: As printed.
        value: What it means: the printed number times its unit.
        decimals: Places behind the point, as printed.
        unit: What one of the printed number is: 1, 0.01 (a percentage) or a million.
        line: Number of its line, from 1.
        context: The whole line.
        heading: Its column's, in a table.
    """

    text: str
    value: float
    decimals: int
    unit: float
    line: int
    context: str
    heading: str = ""

    @property
    def is_measurement(self) -> bool:
        """Whether it has to have a source: not a count, a setting or a year."""
        whole = self.decimals == 0 and self.unit == 1 and "e" not in self.text
        return not (whole and (abs(self.value) < SMALL or int(self.value) in YEARS))

    def rounds_from(self, value: float) -> bool:
        """Whether a value, rounded as this is printed, gives this.

        >>> Stated("93.2%", 0.932, 1, 0.01, 1, "").rounds_from(0.93196)
        True
        """
        if "e" in self.text:
            return abs(value - self.value) <= 1e-6 * abs(self.value)
        return abs(value - self.value) / self.unit <= 0.5 * 10**-self.decimals + EXACT


@dataclass(frozen=True)
class Cell:
    """A number of results/: the file, the row's words, the column, the value, and how many rows the file has."""

    file: str
    row: dict[str, str]
    column: str
    value: float
    rows: int = 1


def report(project: Project) -> list[dict[str, Any]]:
    """One entry for each number of the project's README; see `entry`.

    Raises:
        UserError: If project.toml is malformed.
    """
    readme = project.folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    cells = list(cells_of(project.results))
    settings = read_toml(project, "project.toml")[0].get("provenance", {})
    return [entry(number, cells, settings, project) for number in stated(text)]


def stated(text: str) -> list[Stated]:
    """Every number of a Markdown text outside code, links and comments."""
    visible = HIDDEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    found = []
    headings: list[str] = []
    for line, content in enumerate(visible.splitlines(), start=1):
        in_table = content.lstrip().startswith("|")
        headings = (headings or content.split("|")) if in_table else []
        for match in NUMBER.finditer(content):
            sign = -1 if match["sign"] in ("-", "−") else 1
            value = sign * float(match["digits"].replace(",", "") + (match["rest"] or "") + (match["power"] or ""))
            unit = 0.01 if match["percent"] else 1e6 if match["million"] else 1.0
            decimals = len(match["rest"] or ".") - 1
            column = content[: match.start()].count("|")
            heading = headings[column] if column < len(headings) else ""
            found.append(Stated(match[0].strip(), value * unit, decimals, unit, line, content.strip(), heading))
    return found


def cells_of(results: Path) -> Iterator[Cell]:
    """Every number of the CSV and JSON files, those of short files first: a summary before its raw material."""
    for path in sorted((*results.glob("*.csv"), *results.glob("*.json")), key=lambda p: (p.stat().st_size, p.name)):
        if path.suffix == ".json":
            value = json.loads(path.read_text(encoding="utf-8"))
            yield from (Cell(path.name, {}, key, number) for key, number in _leaves(value))
            continue
        rows = read_rows(path)
        for row in rows:
            for column, cell in row.items():
                if (number := _number(cell)) is not None:
                    yield Cell(path.name, row, column, number, len(rows))


def read_rows(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{name}.{key}" if name else str(key))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, float(value)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def entry(number: Stated, cells: list[Cell], settings: dict[str, Any], project: Project) -> dict[str, Any]:
    """What is known of one number: status (traced, untraced, or constant), source, recomputation, runs."""
    said: dict[str, Any] = {"number": number.text, "line": number.line, "context": number.context[:160]}
    if not number.is_measurement:
        return {**said, "status": "constant"}
    if number.text[0] in "+−-" and (pair := _difference(number, cells)) is not None:
        one, other, scale = pair
        formula = f"{scale} × ({_words(one.row)} − {_words(other.row)})"
        source = {"file": one.file, "row": formula, "column": one.column, "value": scale * (one.value - other.value)}
        return {**said, "status": "traced", "source": source, **recomputed(one, settings, project)}
    fitting = [cell for cell in cells if number.rounds_from(cell.value) and _could_be(cell, number)]
    if fitting:
        best = max(fitting, key=lambda cell: (_mentions(cell, number.context), _heads(cell, number.heading)))
        source = {"file": best.file, "row": _words(best.row), "column": best.column, "value": best.value}
        more = {"cells_that_fit": len(fitting), **recomputed(best, settings, project)}
        return {**said, "status": "traced", "source": source, **more}
    return {**said, "status": "untraced"}


def _words(row: dict[str, str]) -> str:
    """What names a row: its first cell that is no number."""
    return next((cell for cell in row.values() if cell and _number(cell) is None), "")


def _mentions(cell: Cell, context: str) -> int:
    """How much of a cell's row the README's line mentions, in characters; a prefix of another name weighs less."""
    words = [w for w in cell.row.values() if w and _number(w) is None and w in context]
    return sum(map(len, words))


def _heads(cell: Cell, heading: str) -> int:
    """How many words of a cell's column stand in the heading of the README's column."""
    words = set(re.findall(r"[a-z]+", heading.lower()))
    return len(words & set(cell.column.lower().split("_")))


def _could_be(cell: Cell, number: Stated) -> bool:
    """Whether a fit says something: among thousands of raw values nearly any number is found by chance."""
    return cell.rows <= RAW or _mentions(cell, number.context) > 0


def _difference(number: Stated, cells: list[Cell]) -> tuple[Cell, Cell, int] | None:
    """Two rows of one column whose difference, plain or in points, is the number."""
    by_column: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_column.setdefault((cell.file, cell.column), []).append(cell)
    for column in sorted(by_column.values(), key=lambda column: -max(_mentions(c, number.context) for c in column)):
        if len(column) > RAW:
            continue
        ranked = sorted(column, key=lambda cell: -_mentions(cell, number.context))
        for one in ranked[: bool(_mentions(ranked[0], number.context))]:
            for other in column:
                for scale in (100, 1):
                    if number.rounds_from(scale * (one.value - other.value)):
                        return one, other, scale
    return None


def recomputed(cell: Cell, settings: dict[str, Any], project: Project) -> dict[str, Any]:
    """The cell's value from the rows of single runs, if it is a statistic of them, and what their directories say."""
    path = project.results / str(settings.get("runs", ""))
    if not path.is_file():
        return {}
    rows = read_rows(path)
    if cell.file == path.name:
        return {"runs": [evidence(cell.row, cell.value, settings, project)]}
    wanted = {str(key): str(value) for key, value in settings.get("where", {}).items()}
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        if all(row.get(key) == value for key, value in wanted.items()):
            groups.setdefault(tuple(row.get(key, "") for key in settings.get("group", ())), []).append(row)
    for members in groups.values():
        for column in members[0]:
            numbers = [_number(row[column]) for row in members]
            values = [value for value in numbers if value is not None]
            for name, value in _statistics(values) if len(values) == len(members) else ():
                if abs(value - cell.value) <= EXACT * max(1.0, abs(value)) and column in cell.column:
                    runs = [evidence(row, _number(row[column]), settings, project) for row in members]
                    again = {"function": name, "of": f"{path.name}:{column}", "value": value}
                    return {"recomputed": {**again, "difference": value - cell.value}, "runs": runs}
    return {}


def _statistics(values: list[float]) -> Iterator[tuple[str, float]]:
    yield "mean", statistics.mean(values)
    if len(values) > 1:
        yield "standard deviation", statistics.stdev(values)


def evidence(row: dict[str, str], value: float | None, settings: dict[str, Any], project: Project) -> dict[str, Any]:
    """A run's name and, if its directory is here: the log line that holds the value, its manifests, its commit."""
    try:
        name = str(settings.get("directory", "")).format_map(row)
    except (KeyError, ValueError, IndexError):
        name = ""
    directory = (project.root / name).resolve()
    if not name or not directory.is_relative_to(project.root / "runs") or not directory.is_dir():
        return {"run": name or _words(row), "here": False, **_kept(row, value, project)}
    environment = read_json_or_none(directory / "env.json") or {}
    manifests = sorted(str(p.relative_to(directory)) for p in directory.rglob("manifest.json"))
    line = _log_line(directory / "metrics.jsonl", value)
    return {"run": name, "here": True, "log_line": line, "manifests": manifests, "commit": environment.get("commit")}


def _kept(row: dict[str, str], value: float | None, project: Project) -> dict[str, Any]:
    """What the repository alone tells of a run: the line in the log kept in results/logs, its manifest, the commit."""
    run = row.get("run", "")
    path = project.results / "logs" / f"{run}.jsonl.xz"
    if not re.fullmatch(r"[0-9a-f]{1,64}", run) or not path.is_file():
        return {}
    environment = read_json_or_none(project.results / "environment.json") or {}
    manifests = [row["manifest"]] if row.get("manifest") else []
    return {"log_line": _log_line(path, value), "manifests": manifests, "commit": environment.get("commit")}


def _log_line(path: Path, value: float | None) -> int | None:
    """Number of the last line of a log, plain or compressed, that holds the value, or None."""
    if value is None or not path.is_file():
        return None
    found = None
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
        text = file.read(LARGEST_LOG).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and any(each == value for each in record.values() if isinstance(each, float)):
            found = number
    return found
