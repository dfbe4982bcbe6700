"""Documents of all tenants in one SQLite file: the source of truth, from which every index follows.

Each change has a number. An index that knows up to which number it has come reads the rest; one that is lost is made
again. A call returns when its change is on the disk (WAL, synchronous = FULL).
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from projects.qa_api.data.documents import Document
from shared.errors import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
  tenant TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL, text TEXT NOT NULL,
  digest TEXT NOT NULL, vector BLOB NOT NULL, seq INTEGER NOT NULL, changed INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, id TEXT NOT NULL, gone INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS changes_of ON changes (tenant, seq);
CREATE TABLE IF NOT EXISTS feedback (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, answer TEXT NOT NULL, right INTEGER NOT NULL,
  at INTEGER NOT NULL, UNIQUE (tenant, answer));
"""
PAGE = 500  # documents read at once


class ConflictError(Exception):
    """The document is not in the state that the client expects."""


@dataclass(frozen=True)
class Kept:
    """A document as it is kept.

    Attributes:
        vector: What the encoder makes of it.
        seq: Number of the change that made it so.
        changed: Seconds since 1970.
    """

    document: Document
    vector: Float[np.ndarray, " d"]
    seq: int
    changed: int

    @property
    def etag(self) -> str:
        """Of the content: the same document put twice has the same one."""
        return self.document.digest


@dataclass(frozen=True)
class Change:
    """What an index has to do: take a document (again), or let it go where `kept` is None."""

    seq: int
    id: str
    kept: Kept | None


class Store:
    """One file; calls of several threads follow one another.

    Args:
        path: The file, of mode 0600.
        encoder: Identity of the encoder whose vectors are kept.

    Raises:
        UserError: If the file is no store of this service, or its vectors are another encoder's.
    """

    def __init__(self, path: Path, encoder: str) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            for word in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 5000"):
                self._base.execute(f"PRAGMA {word}")
            self._base.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{path} cannot be used as the store ({error})") from None
        row = self._base.execute("SELECT value FROM about WHERE name = 'encoder'").fetchone()
        if row and row[0] != encoder:
            self._base.close()
            raise UserError(
                f"{path} holds vectors of {row[0]}, not of {encoder}: start with that model or another file"
            )
        with self._change() as base:
            base.execute("INSERT OR REPLACE INTO about VALUES ('encoder', ?)", (encoder,))

    def close(self) -> None:
        """End; nothing is lost without it."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on the disk when the block has ended."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    # ------------------------------------------------------------ documents

    def put(
        self, tenant: str, document: Document, vector: Float[np.ndarray, " d"], *, if_match: str | None = None
    ) -> tuple[Kept, bool]:
        """Add a document or replace the one of its id; the same content again changes nothing.

        Args:
            if_match: The ETag that the document must have; "*" any, "" none: it must be new.

        Returns:
            What is kept, and whether it is new.

        Raises:
            ConflictError: If it has another one.
        """
        with self._change() as base:
            before = _row(base, tenant, document.id)
            _expect(before, if_match)
            if before is not None and before.etag == document.digest:
                return before, False
            seq = _note(base, tenant, document.id, gone=False)
            now = int(time.time())
            base.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (tenant, document.id, document.title, document.language, document.text, document.digest,
                 np.asarray(vector, "<f4").tobytes(), seq, now),
            )  # fmt: skip
        return Kept(document, np.asarray(vector, np.float32), seq, now), before is None

    def put_all(self, tenant: str, documents: Sequence[Document], vectors: Float[np.ndarray, "n d"]) -> int:
        """Add many, all or none; the number of the last change."""
        seq, now = self.last(tenant), int(time.time())
        with self._change() as base:
            for document, vector in zip(documents, vectors, strict=True):
                seq = _note(base, tenant, document.id, gone=False)
                base.execute(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (tenant, document.id, document.title, document.language, document.text, document.digest,
                     np.asarray(vector, "<f4").tobytes(), seq, now),
                )  # fmt: skip
        return seq

    def remove(self, tenant: str, identity: str, *, if_match: str | None = None) -> int | None:
        """Take a document out; the number of the change, None if it was not there.

        Raises:
            ConflictError: If it has another ETag than is expected.
        """
        with self._change() as base:
            before = _row(base, tenant, identity)
            _expect(before, if_match)
            if before is None:
                return None
            base.execute("DELETE FROM documents WHERE tenant = ? AND id = ?", (tenant, identity))
            return _note(base, tenant, identity, gone=True)

    def get(self, tenant: str, identity: str) -> Kept | None:
        """A document of a tenant."""
        with self._lock:
            return _row(self._base, tenant, identity)

    def count(self, tenant: str) -> int:
        """How many documents a tenant has."""
        with self._lock:
            return int(self._base.execute("SELECT count(*) FROM documents WHERE tenant = ?", (tenant,)).fetchone()[0])

    def tenants(self) -> list[str]:
        """Who has documents, or had."""
        with self._lock:
            return [row[0] for row in self._base.execute("SELECT DISTINCT tenant FROM changes ORDER BY tenant")]

    # ------------------------------------------------------------ what an index follows

    def last(self, tenant: str) -> int:
        """Number of a tenant's last change, 0 without one."""
        with self._lock:
            row = self._base.execute("SELECT max(seq) FROM changes WHERE tenant = ?", (tenant,)).fetchone()
        return int(row[0] or 0)

    def changes(self, tenant: str, after: int) -> Iterator[Change]:
        """What has become of the documents that changed after a number: one line a document, its last state."""
        while True:
            with self._lock:
                rows = self._base.execute(
                    "SELECT seq, id FROM changes WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?",
                    (tenant, after, PAGE),
                ).fetchall()
                found = [Change(int(seq), each, _row(self._base, tenant, each)) for seq, each in rows]
            yield from found
            if len(rows) < PAGE:
                return
            after = found[-1].seq

    # ------------------------------------------------------------ feedback

    def feedback(self, tenant: str, answer: str, *, right: bool) -> None:
        """Keep whether an answer was right; said twice, the last counts."""
        with self._change() as base:
            base.execute(
                "INSERT OR REPLACE INTO feedback (tenant, answer, right, at) VALUES (?, ?, ?, ?)",
                (tenant, answer, int(right), int(time.time())),
            )

    def feedback_of(self, tenant: str) -> tuple[int, int]:
        """(right, wrong) answers of a tenant."""
        with self._lock:
            rows = self._base.execute(
                "SELECT sum(right), sum(1 - right) FROM feedback WHERE tenant = ?", (tenant,)
            ).fetchone()
        return int(rows[0] or 0), int(rows[1] or 0)


def _row(base: sqlite3.Connection, tenant: str, identity: str) -> Kept | None:
    row = base.execute(
        "SELECT title, text, language, vector, seq, changed FROM documents WHERE tenant = ? AND id = ?",
        (tenant, identity),
    ).fetchone()
    if row is None:
        return None
    title, text, language, vector, seq, changed = row
    return Kept(Document(identity, title, text, language), np.frombuffer(vector, "<f4"), int(seq), int(changed))


def _note(base: sqlite3.Connection, tenant: str, identity: str, *, gone: bool) -> int:
    base.execute("DELETE FROM changes WHERE tenant = ? AND id = ?", (tenant, identity))
    base.execute("INSERT INTO changes (tenant, id, gone) VALUES (?, ?, ?)", (tenant, identity, int(gone)))
    return int(base.execute("SELECT last_insert_rowid()").fetchone()[0])


def _expect(before: Kept | None, if_match: str | None) -> None:
    if if_match is None:
        return
    if if_match == "" and before is not None:
        raise ConflictError("there is a document of this id")
    if if_match == "*" and before is None:
        raise ConflictError("there is no document of this id")
    if if_match not in ("", "*") and (before is None or before.etag != if_match):
        raise ConflictError("the document has changed since")
