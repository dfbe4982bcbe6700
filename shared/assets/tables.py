"""Labelled texts from a person's own file, with every mistake named by file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.assets.splits import Row
from shared.errors import UserError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
LONGEST_LINE = 1_000_000
"""Bytes; a longer line is an accident (a missing newline, a binary file), not a text."""

# A record and where it stands: "line 7", or "record 7" where a file has no lines to speak of.
Placed = tuple[str, dict[str, Any]]


def read_table(path: Path, text_column: str, label_column: str) -> list[Row]:
    """Rows with text, label (a string) and, if the file has it, group.

    Args:
        path: .csv or .tsv with a header line, .jsonl with an object a line, or .json with a list of objects; UTF-8.
        text_column: Read as `text`.
        label_column: Read as `label`; numbers and truth values become their JSON spelling.

    Raises:
        UserError: If the file is missing, empty, badly encoded or malformed, lacks a column or holds an empty cell.
    """
    content = _content(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        records = _delimited(path, content, "\t" if path.suffix.lower() == ".tsv" else ",")
    else:
        records = _json_lines(path, content) if path.suffix.lower() == ".jsonl" else _json_list(path, content)
    rows = [_row(path, place, record, text_column, label_column) for place, record in records]
    if not rows:
        raise UserError(f"--dataset {path}: the file holds no rows")
    return rows


def require_columns(name: object, present: list[str], *wanted: str) -> None:
    """Raise a UserError that lists the columns there are, if one is missing."""
    for column in wanted:
        if column not in present:
            raise UserError(f"--dataset {name}: no column '{column}'; its columns are {', '.join(present)}")


def _content(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"--dataset {path}: no such file") from None
    except OSError as error:
        raise UserError(f"--dataset {path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if len(line) > LONGEST_LINE and path.suffix.lower() != ".json":  # JSON may well stand on one line
            raise UserError(f"{path}, line {number}: longer than 1 MB; is this a file of texts?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_number = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line_number}: not UTF-8; save the file in that encoding") from None


def _delimited(path: Path, content: str, delimiter: str) -> Iterator[Placed]:
    # strict: a quote that is never closed is an error instead of a text that swallows the rest of the file.
    reader = csv.reader(content.splitlines(keepends=True), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 1
    try:
        for fields in reader:
            if header is None:
                header = fields or None
            elif fields:
                if len(fields) != len(header):
                    raise UserError(f"{path}, line {start}: {len(fields)} fields, but the header has {len(header)}")
                yield f"line {start}", dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {start}: {error}") from None


def _json_lines(path: Path, content: str) -> Iterator[Placed]:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _object(_parsed(path, line, number), f"{path}, line {number}")


def _json_list(path: Path, content: str) -> Iterator[Placed]:
    if not content.strip():
        return
    records = _parsed(path, content, 1)
    if not isinstance(records, list):
        raise UserError(f"{path}: not a list of objects; write [{{...}}, ...] or one object a line in a .jsonl file")
    for number, record in enumerate(records, start=1):
        yield f"record {number}", _object(record, f"{path}, record {number}")


def _parsed(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {first_line + error.lineno - 1}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path}, line {first_line}: not JSON (nested too deeply)") from None


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place}: not an object with named columns")
    return value


def _row(path: Path, place: str, record: dict[str, Any], text_column: str, label_column: str) -> Row:
    require_columns(f"{path}, {place}", list(record), text_column, label_column)
    text, label = record[text_column], record[label_column]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{path}, {place}: '{text_column}' is empty or no text")
    label = label.strip() if isinstance(label, str) else json.dumps(label)
    if label in ("", "null") or label[0] in "[{":
        raise UserError(f"{path}, {place}: '{label_column}' is empty or no label")
    group = record.get("group")
    return {"text": text, "label": label} | ({} if group in (None, "") else {"group": str(group)})
