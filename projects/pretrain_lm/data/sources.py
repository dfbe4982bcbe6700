"""Raw documents, one at a time and always in the same order: the news, or any folder or file of text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.assets.records import read_lines, read_records
from shared.errors import UserError

PLAIN, TABLES = (".txt", ".md"), (".csv", ".tsv", ".jsonl")
READERS = (*PLAIN, *TABLES)
LARGEST_LINE = 10_000_000  # characters; a longer line is no record but an accident, and would fill the memory


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
        text_column: Column of tables that holds the text.

    Raises:
        UserError: If there is nothing to read, or a file is binary, badly encoded or cut: with file and line.
    """
    if dataset == "news":
        yield from _news()
        return
    root = Path(dataset).expanduser()
    if not root.exists():
        raise UserError(f"--dataset {dataset}: neither news nor a file or folder that is there")
    paths = (
        [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in READERS)
    )
    if not paths:
        raise UserError(f"--dataset {dataset}: the folder holds no file that ends in {', '.join(READERS)}")
    for path in paths:
        if path.suffix.lower() not in READERS:
            raise UserError(f"--dataset {dataset}: files end in {', '.join(READERS)}")
        yield from _read(path, text_column)


def _news() -> Iterator[Document]:
    from shared.assets import news

    for split in news().values():
        yield from (Document(row["link"], row["text"]) for row in split)


def _read(path: Path, column: str) -> Iterator[Document]:
    if path.suffix.lower() in PLAIN:
        text = "".join(line for _, line in read_lines(path, LARGEST_LINE))
        if "\0" in text:
            raise UserError(f"{path}: holds zero bytes; is it a binary file?")
        yield Document(str(path), text)
        return
    for place, record in read_records(path, LARGEST_LINE):
        if not isinstance(record.get(column), str):
            raise UserError(f"{path}, {place}: no text under {column!r}; its columns are {', '.join(record)}")
        yield Document(f"{path}:{place.split()[-1]}", record[column])
