"""What must survive a kill: films, people, ratings and the log of events, in one SQLite file.

A call returns when its change is on the disk (WAL, synchronous = FULL): what was answered is never lost.
"""

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.movie_recs.data.films import Film, film_of
from shared.errors import UserError

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS films (
  id INTEGER PRIMARY KEY, told TEXT NOT NULL, digest TEXT NOT NULL, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS people (id INTEGER PRIMARY KEY, token TEXT UNIQUE NOT NULL, made INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS opinions (
  person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE, film INTEGER NOT NULL, stars REAL,
  at INTEGER NOT NULL,
  PRIMARY KEY (person, film)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, person INTEGER REFERENCES people(id) ON DELETE SET NULL, kind TEXT NOT NULL,
  film INTEGER, stars REAL, before TEXT, undone INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS events_of ON events (person, seq);
"""
LEAST, MOST = 0.5, 5.0
HALF_STARS = {step / 2 for step in range(1, 11)}
NOT_RATED = "none"


@dataclass(frozen=True)
class Opinion:
    """What somebody said of a film: stars, or None for "seen, without stars"."""

    film: int
    stars: float | None


@dataclass(frozen=True)
class Event:
    """A line of the log. `person` is None once he has deleted his profile."""

    seq: int
    person: int | None
    kind: str
    film: int | None
    stars: float | None
    undone: bool


class Store:
    """One file; calls of several threads follow one another.

    Args:
        path: The file, of mode 0600; ":memory:" keeps nothing.
        model: Identity of the encoder whose vectors are kept.

    Raises:
        UserError: If the file is no store of this service, or its vectors are another model's.
    """

    def __init__(self, path: Path | str, model: str) -> None:
        self._lock = threading.RLock()
        try:
            if str(path) != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).touch(mode=0o600)
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            for word in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
                self._base.execute(f"PRAGMA {word}")
            self._base.executescript(SCHEMA)
            damage = self._base.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise sqlite3.DatabaseError(damage)
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{path} cannot be used as the store ({error})") from None
        kept = self.about("model")
        if kept not in (None, model):
            self._base.close()
            raise UserError(f"{path} holds vectors of {kept}, not of {model}: start with that model or another file")
        self.note("model", model)

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
                self._base.execute("COMMIT")
            except BaseException:  # an interruption, too, leaves nothing half-done
                if self._base.in_transaction:  # on a full disk SQLite may have ended it already, or not
                    self._base.execute("ROLLBACK")
                raise

    def about(self, name: str) -> str | None:
        """A note of the service's own."""
        with self._lock:
            row = self._base.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def note(self, name: str, value: str) -> None:
        """Keep a note."""
        with self._change() as base:
            base.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, value))

    # ------------------------------------------------------------ films

    def put_films(self, films: Sequence[Film], vectors: np.ndarray) -> None:
        """Add films, or change those whose ids are there."""
        rows = [
            (film.id, json.dumps(film.as_dict()), film.digest, np.asarray(vector, "<f4").tobytes())
            for film, vector in zip(films, vectors, strict=True)
        ]
        with self._change() as base:
            base.executemany("INSERT OR REPLACE INTO films VALUES (?, ?, ?, ?)", rows)

    def next_film(self) -> int:
        """An id that no film has or had."""
        with self._change() as base:
            row = base.execute("SELECT value FROM about WHERE name = 'next film'").fetchone()
            highest = base.execute("SELECT coalesce(max(id), 0) FROM films").fetchone()[0]
            taken = max(int(row[0]) if row else 1, int(highest) + 1)
            base.execute("INSERT OR REPLACE INTO about VALUES ('next film', ?)", (str(taken + 1),))
        return taken

    def remove_film(self, film: int) -> bool:
        """Whether it was there."""
        with self._change() as base:
            return base.execute("DELETE FROM films WHERE id = ?", (film,)).rowcount > 0

    def films(self) -> tuple[list[Film], np.ndarray]:
        """All films in the order of their ids, and their vectors."""
        with self._lock:
            rows = self._base.execute("SELECT told, vector FROM films ORDER BY id").fetchall()
        try:
            found = [np.frombuffer(vector, "<f4") for _, vector in rows]
            films = [film_of(json.loads(told)) for told, _ in rows]
            return films, np.stack(found) if found else np.zeros((0, 0), np.float32)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"the store holds a damaged film ({error})") from None

    # ------------------------------------------------------------ people

    def new_person(self) -> str:
        """A token, shown here and kept only as its digest: who has it is that person."""
        token = secrets.token_urlsafe(32)
        with self._change() as base:
            base.execute("INSERT INTO people (token, made) VALUES (?, ?)", (_digest(token), int(time.time())))
        return token

    def people(self) -> int:
        """How many profiles there are."""
        with self._lock:
            return int(self._base.execute("SELECT count(*) FROM people").fetchone()[0])

    def person(self, token: str) -> int | None:
        """Whose token this is."""
        with self._lock:
            row = self._base.execute("SELECT id FROM people WHERE token = ?", (_digest(token),)).fetchone()
        return int(row[0]) if row else None

    def export(self, person: int) -> dict[str, Any]:
        """All that is kept of a person."""
        with self._lock:
            events = self._base.execute(
                "SELECT seq, kind, film, stars, undone, at FROM events WHERE person = ? ORDER BY seq", (person,)
            ).fetchall()
            made = self._base.execute("SELECT made FROM people WHERE id = ?", (person,)).fetchone()
        names = ("seq", "kind", "film", "stars", "undone", "at")
        opinions = [{"film": each.film, "stars": each.stars} for each in self.opinions(person)]
        return {
            "made": made[0] if made else None,
            "opinions": opinions,
            "events": [dict(zip(names, event, strict=True)) for event in events],
        }

    def forget(self, person: int) -> None:
        """Delete a profile: the person and his opinions go, and the log's lines are nobody's any more."""
        with self._change() as base:
            base.execute("DELETE FROM people WHERE id = ?", (person,))

    # ------------------------------------------------------------ opinions

    def opinions(self, person: int) -> list[Opinion]:
        """In the order of the films' ids."""
        with self._lock:
            rows = self._base.execute("SELECT film, stars FROM opinions WHERE person = ? ORDER BY film", (person,))
            return [Opinion(*row) for row in rows.fetchall()]

    def everybody(self) -> list[tuple[int, Opinion]]:
        """(person, opinion) of all."""
        with self._lock:
            rows = self._base.execute("SELECT person, film, stars FROM opinions ORDER BY person, film").fetchall()
        return [(row[0], Opinion(row[1], row[2])) for row in rows]

    def rate(self, person: int, film: int, stars: float | None) -> bool:
        """Put stars (None: seen) in the place of what was said before. Whether that changed anything: twice is once.

        Raises:
            UserError: If the stars are not half stars from 0.5 to 5.
        """
        if stars is not None and stars not in HALF_STARS:
            raise UserError(f"{stars} stars: must be {LEAST} to {MOST} in halves")
        with self._change() as base:
            before = _before(base, person, film)
            if before == json.dumps(stars):
                return False
            _set(base, person, film, stars)
            kind = "seen" if stars is None else "rated"
            _note(base, person, kind, film, stars, before)
        return True

    def unrate(self, person: int, film: int) -> bool:
        """Take back what was said of a film; whether anything had been."""
        with self._change() as base:
            before = _before(base, person, film)
            if before == NOT_RATED:
                return False
            base.execute("DELETE FROM opinions WHERE person = ? AND film = ?", (person, film))
            _note(base, person, "unrated", film, None, before)
        return True

    def undo(self, person: int) -> int | None:
        """Take the last thing back that was not undone yet; the film that it was about, None if there is nothing."""
        with self._change() as base:
            row = base.execute(
                "SELECT seq, film, before FROM events WHERE person = ? AND undone = 0 AND before IS NOT NULL "
                "ORDER BY seq DESC LIMIT 1",
                (person,),
            ).fetchone()
            if row is None:
                return None
            seq, film, before = row
            if before == NOT_RATED:
                base.execute("DELETE FROM opinions WHERE person = ? AND film = ?", (person, film))
            else:
                _set(base, person, film, json.loads(before))
            base.execute("UPDATE events SET undone = 1 WHERE seq = ?", (seq,))
        return int(film)

    # ------------------------------------------------------------ the log

    def events(self) -> list[Event]:
        """Every line, in order."""
        with self._lock:
            rows = self._base.execute(
                "SELECT seq, person, kind, film, stars, undone FROM events ORDER BY seq"
            ).fetchall()
        return [Event(row[0], row[1], row[2], row[3], row[4], bool(row[5])) for row in rows]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _before(base: sqlite3.Connection, person: int, film: int) -> str:
    row = base.execute("SELECT stars FROM opinions WHERE person = ? AND film = ?", (person, film)).fetchone()
    return json.dumps(row[0]) if row else NOT_RATED


def _set(base: sqlite3.Connection, person: int, film: int, stars: float | None) -> None:
    base.execute("INSERT OR REPLACE INTO opinions VALUES (?, ?, ?, ?)", (person, film, stars, int(time.time())))


def _note(base: sqlite3.Connection, person: int, kind: str, film: int, stars: float | None, before: str) -> None:
    base.execute(
        "INSERT INTO events (person, kind, film, stars, before, at) VALUES (?, ?, ?, ?, ?, ?)",
        (person, kind, film, stars, before, int(time.time())),
    )
