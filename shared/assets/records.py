"""Records of a person's own file, one at a time, with every mistake named by file and line.

Lines end at LF, CR LF and CR and nowhere else: other separators of Unicode (U+2028, U+0085, form feed, …) are text.
Files are UTF-8, with a byte-order mark or without.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.errors import UserError

DELIMITED = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITED, ".jsonl", ".json")
LONGEST_LINE = 1_000_000
"""Characters of a line or of a field; a longer one is an accident (a missing newline, a binary file), not a text."""

# A record and where it stands: "line 7", or "record 7" where a file has no lines to speak of.
Placed = tuple[str, dict[str, Any]]


def read_records(path: Path, longest: int = LONGEST_LINE) -> Iterator[Placed]:
    """Named values of each record, with its place in the file.

    Args:
        path: .csv (RFC 4180) or .tsv with a header line, .jsonl with an object a line, or .json with a list of objects.
            A field of a .tsv is what stands between two tabs; quotes around the whole of it are taken away.
        longest: Characters of a line or of a field.

    Raises:
        UserError: If the file is missing, badly encoded, cut or malformed.
    """
    suffix = path.suffix.lower()
    if suffix in DELIMITED:
        yield from _delimited(path, _fields(path, suffix, longest))
    elif suffix == ".jsonl":
        for number, line in read_lines(path, longest):
            if line.strip():
                yield f"line {number}", _object(_parsed(path, line.rstrip("\r\n"), number), f"{path}, line {number}")
    else:
        yield from _json_list(path)


def read_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """(number from 1, line with its end) of a text file.

    Raises:
        UserError: If the file cannot be read, or a line is no UTF-8 or too long.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: is no file")
    try:
        # Bytes that are no UTF-8 become halves of surrogate pairs, which are found line by line.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            number = 0
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise UserError(
                        f"{path}, line {number}: longer than {longest // 1_000_000} MB; is this a file of texts?"
                    )
                if not is_text(line):
                    raise UserError(f"{path}, line {number}: not UTF-8; save the file in that encoding")
                if "\0" in line:
                    raise UserError(f"{path}, line {number}: not UTF-8 text: it holds zero bytes")
                yield number, line
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _no_infinity(name: str) -> float:
    """NaN, which many programs write for nothing, is taken; an infinity says nothing at all."""
    if name == "NaN":
        return float("nan")
    raise json.JSONDecodeError(f"{name} is no value of JSON", "", 0)


def is_text(value: str) -> bool:
    """Whether every character can be written: half a surrogate pair cannot.

    >>> is_text("año"), is_text(chr(0xD800))
    (True, False)
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fields(path: Path, suffix: str, longest: int) -> Iterator[tuple[int, list[str]]]:
    """(line on which it begins, fields) of each row."""
    if suffix == ".tsv":
        for number, line in read_lines(path, longest):
            yield number, [_unquoted(field) for field in line.rstrip("\r\n").split("\t")] if line.strip() else []
        return
    csv.field_size_limit(longest)
    # strict: a quote that is never closed is an error instead of a text that swallows the rest of the file.
    reader = csv.reader((line for _, line in read_lines(path, longest)), strict=True)
    start = 1
    try:
        for fields in reader:
            yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {start}: {error}") from None


def _unquoted(field: str) -> str:
    inner = field[1:-1].replace('""', "")
    whole = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in inner
    return field[1:-1].replace('""', '"') if whole else field


def _delimited(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Placed]:
    header: list[str] | None = None
    for start, fields in rows:
        if header is None:
            header = fields or None
            twice = next((name for name in fields if fields.count(name) > 1), None)
            if twice is not None:
                raise UserError(f"{path}, line {start}: two columns are called {twice!r}")
        elif fields:
            if len(fields) != len(header):
                raise UserError(f"{path}, line {start}: {len(fields)} fields, but the header has {len(header)}")
            yield f"line {start}", dict(zip(header, fields, strict=True))


def _json_list(path: Path) -> Iterator[Placed]:
    content = "".join(line for _, line in read_lines(path, 2**30))
    if not content.strip():
        return
    records = _parsed(path, content, 1)
    if not isinstance(records, list):
        raise UserError(f"{path}: not a list of objects; write [{{...}}, ...] or one object a line in a .jsonl file")
    for number, record in enumerate(records, start=1):
        yield f"record {number}", _object(record, f"{path}, record {number}")


def _parsed(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text, parse_constant=_no_infinity)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {first_line + error.lineno - 1}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path}, line {first_line}: not JSON (nested too deeply)") from None
    except ValueError:
        raise UserError(f"{path}, line {first_line}: not JSON (a number of too many digits)") from None


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place}: not an object with named columns")
    texts = [part for item in value.items() for part in item if isinstance(part, str)]
    if not all(is_text(part) and "\0" not in part for part in texts):
        raise UserError(f"{place}: holds half a surrogate pair or a zero byte, which is no text")
    return value
