"""Raw documents, one at a time and always in the same order: the news, or any folder or file of text."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from shared.errors import UserError

PLAIN, TABLES = (".txt", ".md"), (".csv", ".tsv", ".jsonl")
LARGEST_LINE = 10_000_000  # bytes; a longer line is no record but an accident, and would fill the memory
csv.field_size_limit(LARGEST_LINE)


@dataclass(frozen=True)
class Document:
    """A raw text.

    Attributes:
        name: Where it comes from: a path with a line, or a link.
        text: As it was read.
    """

    name: str
    text: str


def documents(dataset: str, text_column: str = "text") -> Iterator[Document]:
    """Every document of a dataset.

    Args:
        dataset: "news" (embedded), a .txt, .md, .csv, .tsv or .jsonl file, or a folder of such files at any depth.
        text_column: Of tables.

    Raises:
        UserError: If there is nothing to read, or a file is binary, badly encoded or cut: with file and line.
    """
    if dataset == "news":
        yield from _news()
        return
    root = Path(dataset).expanduser()
    if not root.exists():
        raise UserError(f"--dataset {dataset}: neither news nor a file or folder that is there")
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in READERS)
    if not paths:
        raise UserError(f"--dataset {dataset}: the folder holds no file that ends in {', '.join(READERS)}")
    for path in paths:
        if path.suffix not in READERS:
            raise UserError(f"--dataset {dataset}: files end in {', '.join(READERS)}")
        yield from _read(path, text_column)


def _news() -> Iterator[Document]:
    from shared.assets import news

    for split in news().values():
        yield from (Document(row["link"], row["text"]) for row in split)


def _read(path: Path, text_column: str) -> Iterator[Document]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from READERS[path.suffix](path, file, text_column)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); is it a binary file?") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _plain(path: Path, file: IO[str], _: str) -> Iterator[Document]:
    text = file.read()
    if "\0" in text:
        raise UserError(f"{path}: holds zero bytes; is it a binary file?")
    yield Document(str(path), text)


def _lines(path: Path, file: IO[str]) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(LARGEST_LINE):
        number += 1
        if len(line) == LARGEST_LINE:
            raise UserError(f"{path}:{number}: longer than {LARGEST_LINE // 1_000_000} million characters")
        yield number, line


def _json_lines(path: Path, file: IO[str], column: str) -> Iterator[Document]:
    for number, line in _lines(path, file):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except ValueError:
            raise UserError(f"{path}:{number}: no JSON; the file may be cut") from None
        if not isinstance(row, dict) or not isinstance(row.get(column), str):
            raise UserError(f"{path}:{number}: no text under {column!r}")
        yield Document(f"{path}:{number}", row[column])


def _table(path: Path, file: IO[str], column: str) -> Iterator[Document]:
    reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        if column not in (reader.fieldnames or ()):
            raise UserError(f"{path}: no column {column!r}; its columns are {', '.join(reader.fieldnames or ())}")
        for row in reader:
            if row[column] is None:
                raise UserError(f"{path}:{reader.line_num}: no text under {column!r}; the file may be cut")
            yield Document(f"{path}:{reader.line_num}", row[column])
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}") from None


READERS = {**dict.fromkeys(PLAIN, _plain), ".jsonl": _json_lines, ".csv": _table, ".tsv": _table}
