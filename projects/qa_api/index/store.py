"""Documents of all tenants in one SQLite file: the source of truth, from which every index follows.

Each change has a number. An index that knows up to which number it has come reads the rest; one that is lost is made
again. A call returns when its change is on the disk (WAL, synchronous = FULL), and so is the line of audit that says
who made it; reads have a connection of their own and do not wait for writes. Several processes may share the file.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
CREATE TABLE IF NOT EXISTS audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
  request TEXT NOT NULL, action TEXT NOT NULL, document TEXT NOT NULL, etag TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audit_of ON audit (tenant, seq);
"""
PAGE = 500  # documents read at once
PAGE_OF_CHANGES = """
SELECT c.seq, c.id, d.title, d.text, d.language, d.vector, d.seq, d.changed
FROM changes c LEFT JOIN documents d ON d.tenant = c.tenant AND d.id = c.id
WHERE c.tenant = ? AND c.seq > ? ORDER BY c.seq LIMIT ?"""
NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class FullError(Exception):
    """The disk takes no more; what is kept is as it was."""


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
        """Digest of the content: the same document put twice has the same one."""
        return self.document.digest


@dataclass(frozen=True)
class Change:
    """What an index has to do: take a document (again), or let it go where `kept` is None."""

    seq: int
    id: str
    kept: Kept | None


@dataclass(frozen=True)
class By:
    """Who makes a change, for the audit: name of the key, id of the request."""

    key: str = ""
    request: str = ""


@dataclass(frozen=True)
class Act:
    """A line of the audit: who did what to which document, and the ETag of what it became; no contents."""

    at: int
    key: str
    request: str
    action: str
    document: str
    etag: str


class Store:
    """One file; calls of several threads follow one another.

    Attributes:
        full: Whether the last change found no room on the disk.

    Args:
        path: The file, of mode 0600.
        encoder: Identity of the encoder whose vectors are kept.

    Raises:
        UserError: If the file is no store of this service, or its vectors are another encoder's.
    """

    def __init__(self, path: Path, encoder: str) -> None:
        self._lock, self._reading, self.full = threading.RLock(), threading.Lock(), False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._base, self._read = (sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                                      for _ in range(2))  # fmt: skip
            for word in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "busy_timeout = 5000"):
                self._base.execute(f"PRAGMA {word}")
            self._read.execute("PRAGMA query_only = ON")
            told = self._base.execute("PRAGMA quick_check(1)").fetchone()[0]
            if told != "ok":
                raise UserError(
                    f"{path} is damaged ({told}): put a copy back, or take it away and put the documents again"
                )
            self._base.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{path} cannot be used as the store ({error})") from None
        row = self._base.execute("SELECT value FROM about WHERE name = 'encoder'").fetchone()
        if row is None:
            with self._change() as base:
                base.execute("INSERT OR IGNORE INTO about VALUES ('encoder', ?)", (encoder,))
        elif row[0] != encoder:
            self.close()
            raise UserError(
                f"{path} holds vectors of {row[0]}, not of {encoder}: start with that model or another file"
            )

    def close(self) -> None:
        """End; nothing is lost without it."""
        with self._lock, self._reading:
            self._base.close()
            self._read.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on the disk when the block has ended.

        Raises:
            FullError: If the disk has no room. The change has not been made.
        """
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield self._base
                self._base.execute("COMMIT")
            except BaseException as error:  # an interruption too leaves the transaction open
                if self._base.in_transaction:  # SQLite itself takes some back
                    self._base.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in NO_ROOM:
                    self.full = True
                    raise FullError(
                        "the disk has no room: nothing was changed, and what is there is answered from"
                    ) from None
                raise
            self.full = False

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._reading:
            return self._read.execute(query, values).fetchall()

    # ------------------------------------------------------------ documents

    def put(
        self, tenant: str, document: Document, vector: Float[np.ndarray, " d"], *, if_match: str | None = None,
        by: By | None = None,
    ) -> tuple[Kept, bool]:  # fmt: skip
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
            _audit(base, tenant, by, "put", document.id, document.digest)
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

    def remove(self, tenant: str, identity: str, *, if_match: str | None = None, by: By | None = None) -> int | None:
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
            _audit(base, tenant, by, "remove", identity, "")
            return _note(base, tenant, identity, gone=True)

    def get(self, tenant: str, identity: str) -> Kept | None:
        """A document of a tenant."""
        with self._reading:
            return _row(self._read, tenant, identity)

    def ids(self, tenant: str) -> list[str]:
        """Ids of all documents of a tenant, in their order."""
        return [row[0] for row in self._all("SELECT id FROM documents WHERE tenant = ? ORDER BY id", tenant)]

    def count(self, tenant: str) -> int:
        """How many documents a tenant has."""
        return int(self._all("SELECT count(*) FROM documents WHERE tenant = ?", tenant)[0][0])

    def tenants(self) -> list[str]:
        """Who has documents, or had."""
        return [row[0] for row in self._all("SELECT DISTINCT tenant FROM changes ORDER BY tenant")]

    # ------------------------------------------------------------ what an index follows

    def last(self, tenant: str) -> int:
        """Number of a tenant's last change, 0 without one."""
        return int(self._all("SELECT max(seq) FROM changes WHERE tenant = ?", tenant)[0][0] or 0)

    def changes(self, tenant: str, after: int) -> Iterator[Change]:
        """What has become of the documents that changed after a number: one line a document, its last state."""
        while True:
            with self._reading:
                rows = self._read.execute(PAGE_OF_CHANGES, (tenant, after, PAGE)).fetchall()
            for seq, identity, *told in rows:
                yield Change(int(seq), identity, None if told[0] is None else _kept(identity, told))
            if len(rows) < PAGE:
                return
            after = int(rows[-1][0])

    # ------------------------------------------------------------ audit

    def note(self, tenant: str, by: By, action: str) -> None:
        """Keep that somebody did something that changes no document."""
        with self._change() as base:
            _audit(base, tenant, by, action, "", "")

    def acts(self, tenant: str, most: int) -> list[Act]:
        """The last lines of a tenant's audit, newest first."""
        told = "SELECT at, key, request, action, document, etag FROM audit WHERE tenant = ? ORDER BY seq DESC LIMIT ?"
        return [Act(*row) for row in self._all(told, tenant, most)]

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
        rows = self._all("SELECT sum(right), sum(1 - right) FROM feedback WHERE tenant = ?", tenant)
        return int(rows[0][0] or 0), int(rows[0][1] or 0)


def _row(base: sqlite3.Connection, tenant: str, identity: str) -> Kept | None:
    row = base.execute(
        "SELECT title, text, language, vector, seq, changed FROM documents WHERE tenant = ? AND id = ?",
        (tenant, identity),
    ).fetchone()
    return None if row is None else _kept(identity, row)


def _kept(identity: str, row: Sequence[Any]) -> Kept:
    title, text, language, vector, seq, changed = row
    return Kept(Document(identity, title, text, language), np.frombuffer(vector, "<f4"), int(seq), int(changed))


def _audit(base: sqlite3.Connection, tenant: str, by: By | None, action: str, document: str, etag: str) -> None:
    if by is not None:
        base.execute(
            "INSERT INTO audit (at, tenant, key, request, action, document, etag) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (int(time.time()), tenant, by.key, by.request, action, document, etag),
        )


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
