"""A table of articles that is classified while a page shows how far it is: kept on disk from the moment it is accepted.

files/<id>.csv     as it was sent, with <id>.json
files/<id>.out.csv topics beside the rows; there when all of it is done
"""

import asyncio
import csv
import io
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import read_json, write_json, write_text
from shared.web import logs

ID = re.compile(r"[0-9a-f]{16}")
CHUNK = 32
NAMED = 20  # columns that a refusal lists
MOST_FILES = 200

Ask = Callable[[list[str]], Awaitable[tuple[list[Any], int]]]
"""Texts → their answers and the version that gave them; waits for room."""


@dataclass
class Uploaded:
    """A file and how far it is.

    Attributes:
        rows: What is still to be answered; none are kept in memory of a file that is done.
        total: Rows of the file.
        problem: Why it stopped; the next start tries again.
    """

    id: str
    column: str
    rows: list[dict[str, str]]
    total: int
    done: int = 0
    version: int | None = None
    problem: str = ""


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

    def __post_init__(self) -> None:
        """Make the folder, before anything is served."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror}") from None

    async def resume(self) -> None:
        """Go on with what a killed process had accepted; a file that cannot be read any more stops no other."""
        for path in sorted(self.folder.glob("*.json")):
            if ID.fullmatch(path.stem) and path.with_suffix(".csv").is_file():
                own = self.known[path.stem] = await asyncio.to_thread(self._found, path)
                if own.rows:
                    self._begin(own)

    def _found(self, path: Path) -> Uploaded:
        """A file of an earlier process."""
        own = Uploaded(path.stem, "", [], 0)
        try:
            told = read_json(path)
            own.column = str(told["column"])
            rows = read_rows(path.with_suffix(".csv").read_bytes(), own.column, self.most)
        except (UserError, KeyError, TypeError, OSError) as error:
            own.problem = f"its stored copy cannot be read: {error}"
            return own
        own.total = len(rows)
        if self.result(own.id).is_file():
            own.done, own.version = own.total, told.get("version")
        else:
            own.rows = rows
        return own

    async def accept(self, content: bytes, column: str) -> Uploaded:
        """Take a file; when this returns it is on disk.

        Raises:
            UserError: If it cannot be read, lacks the column, cannot be stored, or there are too many files.
        """
        self._forget_removed()
        if len(self.known) >= MOST_FILES:
            raise UserError(f"there are {MOST_FILES} files already: remove some of {self.folder.name}/")
        rows = await asyncio.to_thread(read_rows, content, column, self.most)
        own = Uploaded(secrets.token_hex(8), column, rows, len(rows))
        try:
            await asyncio.to_thread(self._store, own, content)
        except OSError as error:
            (self.folder / f"{own.id}.csv").unlink(missing_ok=True)
            raise UserError(f"the file cannot be stored: {error.strerror}") from None
        self.known[own.id] = own
        self._begin(own)
        return own

    def get(self, name: str) -> Uploaded | None:
        """A file by its id."""
        return self.known.get(name)

    def _store(self, own: Uploaded, content: bytes) -> None:
        write_text(self.folder / f"{own.id}.csv", content.decode("utf-8-sig"))
        write_json(self.folder / f"{own.id}.json", {"column": own.column})

    def _forget_removed(self) -> None:
        """What somebody has removed from the folder makes room."""
        for own in list(self.known.values()):
            if not own.rows and not (self.folder / f"{own.id}.csv").is_file():
                del self.known[own.id]

    def result(self, name: str) -> Path:
        """Where its answers are, or will be."""
        return self.folder / f"{name}.out.csv"

    async def stop(self) -> None:
        """Leave what is not done for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, own: Uploaded) -> None:
        task = asyncio.create_task(self._worked(own))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _worked(self, own: Uploaded) -> None:
        """Whoever asks how far a file is hears that it stopped, instead of waiting for ever."""
        try:
            await self._work(own)
        except OSError as error:
            own.problem = f"the answers cannot be stored: {error.strerror}"
        except Exception as error:  # whatever the model raises
            own.problem = "the service failed; its log says why"
            logs.line(logging.ERROR, event="file failed", id=own.id, **logs.error_fields(error))
        own.rows = []

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
        # The version first: a kill between the two leaves a file that is simply done again.
        told = {"column": own.column, "version": own.version}
        await asyncio.to_thread(write_json, self.folder / f"{own.id}.json", told)
        await asyncio.to_thread(write_text, self.result(own.id), out.getvalue())


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
        if header and column not in header:
            named = ", ".join(header[:NAMED]) + (", …" if len(header) > NAMED else "")
            raise UserError(f"there is no column '{column}'; the columns are {named}")
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
