"""Labelled texts from a person's own file, with every mistake named by file and line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from shared.assets.records import SUFFIXES, read_records
from shared.assets.splits import Row
from shared.errors import UserError

__all__ = ["SUFFIXES", "read_table", "require_columns"]


def read_table(path: Path, text_column: str, label_column: str) -> list[Row]:
    """Rows with text, label (a string) and, if the file has it, group.

    Args:
        path: As `read_records` takes it.
        text_column: Read as `text`.
        label_column: Read as `label`; numbers and truth values become their JSON spelling.

    Raises:
        UserError: If the file is missing, empty, badly encoded or malformed, lacks a column or holds an empty cell.
    """
    if not path.exists():
        raise UserError(f"--dataset {path}: no such file")
    rows = [_row(path, place, record, text_column, label_column) for place, record in read_records(path)]
    if not rows:
        raise UserError(f"--dataset {path}: the file holds no rows")
    return rows


def require_columns(name: object, present: list[str], *wanted: str) -> None:
    """Raise a UserError that lists the columns there are, if one is missing."""
    for column in wanted:
        if column not in present:
            raise UserError(f"--dataset {name}: no column '{column}'; its columns are {', '.join(present)}")


def _row(path: Path, place: str, record: dict[str, Any], text_column: str, label_column: str) -> Row:
    require_columns(f"{path}, {place}", list(record), text_column, label_column)
    text, label = record[text_column], spelled(record[label_column])
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{path}, {place}: '{text_column}' is empty or no text")
    if not label or label[0] in "[{":
        raise UserError(f"{path}, {place}: '{label_column}' is empty or no label")
    group = spelled(record.get("group"))
    return {"text": text, "label": label} | ({"group": group} if group else {})


def spelled(label: object) -> str:
    """A label or group as a string; "" for what stands for none: nothing, null, the NaN that tables are filled with.

    >>> [spelled(each) for each in (" spam", 3, True, None, float("nan"), "NaN")]
    ['spam', '3', 'true', '', '', '']
    """
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return ""
    text = label.strip() if isinstance(label, str) else json.dumps(label)
    return "" if text in ("nan", "NaN", "null") else text
