"""Tables of numbers with times from files and services, as people write them; a file is read in lines, never whole.

A gap is NaN: an empty cell, NaN, NA, null, -, and what is infinite or beyond LARGEST. Of rows whose time does not go
on (a clock that repeats or jumps back) the first stays. What cannot be read ends in one line that says where.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from shared.errors import UserError

GAPS = {"", "nan", "na", "n/a", "null", "none", "-", "."}
LONGEST = 100_000  # characters of a line
MOST_CHANNELS = 1000
LARGEST = 1e150  # of a value: its square is still a number
LATEST = 1e12  # seconds before or after 1970
AHEAD = 86_400.0  # seconds; what lies further in the future comes from a clock that is wrong
MILLISECONDS = 1e11  # a number above it counts milliseconds: seconds since 1970 reach it in the year 5138
LABELS = ("label", "is_anomaly")  # columns that say what is anomalous: no values
TIMES = {"time", "timestamp", "date", "datetime", "t", "ts", "day", "tiempo", "fecha", "hora"}


@dataclass(frozen=True)
class Row:
    """One point of a stream: when (seconds since 1970, or a step), and a value a channel, NaN where there is none."""

    time: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """A whole series with the names of its channels."""

    names: tuple[str, ...]
    times: Float[np.ndarray, " n"]
    values: Float[np.ndarray, "n c"]


def read_table(path: Path, size: int | None = None) -> Table:
    """A file that fits in memory.

    Args:
        size: Bytes from its beginning that are read; by default all.

    Raises:
        UserError: If it cannot be read as a table of numbers.
    """
    try:
        with path.open("rb") as whole:
            file = io.TextIOWrapper(io.BytesIO(whole.read(size)), encoding="utf-8-sig", errors="replace", newline="")
            reader = Reader(str(path), labels=True)
            read = list(reader.rows(file))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    rows = list(in_order(read))
    if not rows:
        raise UserError(f"{path}: holds no rows")
    if len(rows) <= len(read) // 2:
        raise UserError(f"{path}: the time of {len(read) - len(rows)} of {len(read)} rows does not go on; sort it")
    return Table(reader.names, np.array([row.time for row in rows]), np.array([row.values for row in rows]))


class Reader:
    """Reads lines of CSV one by one; knows after the heading what separates cells and what the channels are called.

    Args:
        name: What is named in errors.
        labels: Whether columns of labels are read like the others; who watches has no use for them.
    """

    def __init__(self, name: str, *, labels: bool = False) -> None:
        self.name, self.labels = name, labels
        self.names: tuple[str, ...] = ()
        self.separator = ","
        self.timed = False
        self.line = self.width = 0
        self.kept: list[int] = []

    def rows(self, lines: Iterable[str] | TextIO) -> Iterator[Row]:
        """Rows as lines come.

        Raises:
            UserError: If the heading or a line cannot be read.
        """
        for text in _bounded(lines):
            yield from self.some(text)
        if not self.names:
            raise UserError(f"{self.name}: is empty")

    def some(self, text: str) -> Iterator[Row]:
        """The row of the next line, if it is one: not the heading, and not empty.

        Raises:
            UserError: If it cannot be read.
        """
        self.line += 1
        if len(text) > LONGEST:
            raise UserError(f"{self.name}, line {self.line}: has more than {LONGEST} characters")
        if not text.strip():
            return
        if not self.names:
            self._head(text)
        else:
            yield self._row(text)

    def _head(self, text: str) -> None:
        self.separator = max(";\t,", key=text.count)
        cells = [
            cell.strip().lstrip("\ufeff") for cell in _cells(text, self.separator, f"{self.name}, line {self.line}")
        ]
        self.timed = cells[0].lower() in TIMES and len(cells) > 1
        self.width = len(cells)
        self.kept = [n for n in range(self.timed, self.width) if self.labels or cells[n].lower() not in LABELS]
        self.names = tuple(cells[n] for n in self.kept)
        if not 0 < len(self.names) <= MOST_CHANNELS:
            raise UserError(f"{self.name}: has {len(self.names)} channels, of at least one and at most {MOST_CHANNELS}")

    def _row(self, text: str) -> Row:
        where = f"{self.name}, line {self.line}"
        cells = _cells(text, self.separator, where)
        if len(cells) != self.width:
            raise UserError(f"{where}: has {len(cells)} cells where the heading has {self.width}")
        time = read_time(cells[0], where) if self.timed else float(self.line)
        return Row(time, tuple(read_number(cells[n], where) for n in self.kept))


def _bounded(lines: Iterable[str] | TextIO) -> Iterator[str]:
    """Lines, none longer than a little over LONGEST: a file without line ends must not fill the memory."""
    read = getattr(lines, "readline", None)
    yield from iter(lambda: read(LONGEST + 1), "") if read else lines


def _cells(text: str, separator: str, where: str) -> list[str]:
    try:
        return next(csv.reader([text.rstrip("\r\n")], delimiter=separator))
    except (csv.Error, StopIteration) as error:
        raise UserError(f"{where}: is no row ({error})") from None


def read_number(text: str, where: str) -> float:
    """A number with a decimal point or comma; NaN for a gap.

    >>> [read_number(each, "") for each in ("1.5", "1,5", "1.234,5", "-inf", " NA ")]
    [1.5, 1.5, 1234.5, nan, nan]

    Raises:
        UserError: If it is none.
    """
    plain = text.strip()
    if plain.lower() in GAPS:
        return math.nan
    if "," in plain:
        plain = (
            plain.replace(".", "").replace(",", ".") if plain.rfind(",") > plain.rfind(".") else plain.replace(",", "")
        )
    try:
        number = float(plain)
    except ValueError:
        raise UserError(f"{where}: {text.strip()[:40]!r} is no number") from None
    return number if abs(number) <= LARGEST else math.nan


def read_time(text: str, where: str) -> float:
    """Seconds since 1970 (or whatever a plain number counts) of an ISO time or a number; without a zone it is UTC.

    Raises:
        UserError: If it is none.
    """
    plain = text.strip()
    try:
        number = float(plain)
    except ValueError:
        try:
            moment = datetime.fromisoformat(plain)
        except ValueError:
            raise UserError(f"{where}: {plain[:40]!r} is no time (ISO 8601, or a number)") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    number = number / 1000 if abs(number) > MILLISECONDS else number
    if not abs(number) <= LATEST:
        raise UserError(f"{where}: {plain[:40]!r} is no time")
    return number


def in_order(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows whose time goes on; others are dropped."""
    last = -math.inf
    for row in rows:
        if row.time > last:
            last = row.time
            yield row


def read_prometheus(text: str | bytes, name: str) -> list[tuple[str, list[Row]]]:
    """The series of a Prometheus range query's answer, each with its labels as a name.

    Raises:
        UserError: If it is none, or Prometheus says that it failed.
    """
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{name}: is no JSON") from None
    if not isinstance(answer, dict) or "status" not in answer:
        raise UserError(f"{name}: is no answer of Prometheus")
    if answer["status"] != "success":
        raise UserError(f"{name}: Prometheus says: {str(answer.get('error', 'an error'))[:200]}")
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise UserError(f"{name}: holds no range query (resultType matrix)")
    if not data["result"]:
        raise UserError(f"{name}: holds no series")
    return [_prometheus_series(each, name) for each in data["result"]]


def _prometheus_series(result: Any, name: str) -> tuple[str, list[Row]]:
    try:
        labels = dict(result.get("metric", {}))
        title = str(labels.pop("__name__", "value"))
        told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        rows = [Row(read_time(str(time), name), (read_number(str(value), name),)) for time, value in result["values"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{name}: a series of it cannot be read") from None
    return (f"{title}{{{told}}}" if told else title), list(in_order(rows))
