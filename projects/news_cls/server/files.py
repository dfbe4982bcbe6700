"""A table of articles that is classified while a page shows how far it is: kept on disk from the moment it is accepted.

files/<id>.csv     as it was sent, with <id>.json
files/<id>.out.csv topics beside the rows; there when all of it is done
"""

import asyncio
import csv
import io
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.assets.tables import require_columns
from shared.errors import UserError
from shared.files import read_json, write_json, write_text

ID = re.compile(r"[0-9a-f]{16}")
CHUNK = 32
MOST_FILES = 200

Ask = Callable[[list[str]], Awaitable[tuple[list[Any], int]]]
"""Texts → their answers and the version that gave them; waits for room."""


@dataclass
class Uploaded:
    """A file and how far it is."""

    id: str
    column: str
    rows: list[dict[str, str]]
    done: int = 0
    version: int | None = None


@dataclass
class Files:
    """Uploaded files of a service.

    Attributes:
        folder: Where they are.
        ask: Classifies.
        most: Rows of a file.
    """

    folder: Path
    ask: Ask
    most: int
    known: dict[str, Uploaded] = field(default_factory=dict)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def resume(self) -> None:
        """Go on with what a killed process had accepted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("*.json")):
            if ID.fullmatch(path.stem) and path.with_suffix(".csv").is_file():
                told = read_json(path)
                own = Uploaded(
                    path.stem,
                    told["column"],
                    read_rows(path.with_suffix(".csv").read_bytes(), told["column"], self.most),
                )
                if self.result(own.id).is_file():
                    own.done, own.version = len(own.rows), told.get("version")
                self.known[own.id] = own
                if own.done < len(own.rows):
                    self._begin(own)

    async def accept(self, content: bytes, column: str) -> Uploaded:
        """Take a file; when this returns it is on disk.

        Raises:
            UserError: If it cannot be read, lacks the column, or there are too many files.
        """
        if len(self.known) >= MOST_FILES:
            raise UserError(f"there are {MOST_FILES} files already: remove some of {self.folder.name}/")
        rows = read_rows(content, column, self.most)
        own = Uploaded(secrets.token_hex(8), column, rows)
        write_text(self.folder / f"{own.id}.csv", content.decode("utf-8-sig"))
        write_json(self.folder / f"{own.id}.json", {"column": column})
        self.known[own.id] = own
        self._begin(own)
        return own

    def get(self, name: str) -> Uploaded | None:
        """A file by its id."""
        return self.known.get(name)

    def result(self, name: str) -> Path:
        """Where its answers are, or will be."""
        return self.folder / f"{name}.out.csv"

    async def stop(self) -> None:
        """Leave what is not done for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, own: Uploaded) -> None:
        task = asyncio.create_task(self._work(own))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, own: Uploaded) -> None:
        out = io.StringIO()
        names = [*own.rows[0], "topic", "probability", "unsure"]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(harmless, names))
        for start in range(0, len(own.rows), CHUNK):
            part = own.rows[start : start + CHUNK]
            answers, own.version = await self.ask([row[own.column] for row in part])
            for row, answer in zip(part, answers, strict=True):
                best = answer.probabilities[0]
                cells = [*row.values(), best[0], f"{best[1]:.4f}", "yes" if answer.unsure else "no"]
                writer.writerow(map(harmless, cells))
            own.done = start + len(part)
        await asyncio.to_thread(write_text, self.result(own.id), out.getvalue())
        write_json(self.folder / f"{own.id}.json", {"column": own.column, "version": own.version})


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula. Source: OWASP, "CSV Injection"."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def read_rows(content: bytes, column: str, most: int) -> list[dict[str, str]]:
    """Rows of a CSV with a header.

    Raises:
        UserError: If it is no UTF-8, no CSV, has no such column, no rows, too many, or an empty text.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"line {line}: not UTF-8; save the file in that encoding") from None
    if "\0" in text:
        raise UserError("the file holds zero bytes: is it a table of texts?")
    csv.field_size_limit(1_000_000)
    rows: list[dict[str, str]] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(reader, [])
        require_columns("the file", header, column)
        if len(set(header)) < len(header):
            raise UserError("two columns have one name")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise UserError(f"line {reader.line_num}: {len(cells)} fields, but the header has {len(header)}")
            rows.append(dict(zip(header, cells, strict=True)))
            if not rows[-1][column].strip():
                raise UserError(f"line {reader.line_num}: '{column}' is empty")
            if len(rows) > most:
                raise UserError(f"the file has more than {most} rows: divide it")
    except csv.Error as error:
        raise UserError(f"not a CSV file: {error}") from None
    if not rows:
        raise UserError("the file holds no rows")
    return rows
