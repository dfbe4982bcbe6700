"""What answers, and why: versions of the head, decisions about them, and what people said was right.

One database by its URL, SQLite by default, PostgreSQL for more than one machine. A version is written once and never
changed; which one answers is the last decision that released one, so that going back is one more line in the log.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy import (
    Float as Real,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from torch import Tensor

from shared.errors import UserError

Action = Literal["release", "refuse", "rollback"]
RELEASING = ("release", "rollback")

SCHEMA = MetaData()
VERSIONS = Table(
    "versions",
    SCHEMA,
    Column("id", Integer, primary_key=True),
    Column("made", String(32), nullable=False),
    Column("encoder", String(64), nullable=False),
    Column("parent", Integer, ForeignKey("versions.id")),
    Column("labels", Text, nullable=False),
    Column("temperature", Real, nullable=False),
    Column("unsure_below", Real, nullable=False),
    Column("head", LargeBinary, nullable=False),
)
DECISIONS = Table(
    "decisions",
    SCHEMA,
    Column("id", Integer, primary_key=True),
    Column("made", String(32), nullable=False),
    Column("action", String(16), nullable=False),
    Column("version", Integer, ForeignKey("versions.id"), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("numbers", Text, nullable=False),
)
FEEDBACK = Table(
    "feedback",
    SCHEMA,
    Column("id", Integer, primary_key=True),
    Column("made", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("said", String(100), nullable=False),
    Column("label", String(100), nullable=False),
    Column("version", Integer, ForeignKey("versions.id"), nullable=False),
    Column("used_by", Integer, ForeignKey("decisions.id")),
)


@dataclass(frozen=True)
class Head:
    """A linear head."""

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, " k"]

    def logits(self, embeddings: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Logits of articles, by their embeddings."""
        return embeddings @ self.weight.T + self.bias

    def packed(self) -> bytes:
        """As safetensors."""
        return save({"weight": self.weight.contiguous(), "bias": self.bias.contiguous()})

    @classmethod
    def unpacked(cls, content: bytes) -> "Head":
        """From safetensors.

        Raises:
            UserError: If the bytes are cut or changed.
        """
        try:
            tensors = load(content)
            return cls(tensors["weight"], tensors["bias"])
        except (SafetensorError, KeyError):
            raise UserError("a stored version cannot be read as safetensors: restore the database") from None


@dataclass(frozen=True)
class Version:
    """A head with all that is needed to answer by it.

    Attributes:
        encoder: Digest of the encoder's weights: a head is worth nothing on another one.
        unsure_below: Probability under which the answer is "unsure".
    """

    id: int
    made: str
    encoder: str
    parent: int | None
    labels: tuple[str, ...]
    temperature: float
    unsure_below: float
    head: Head


class Versions:
    """Versions, decisions and feedback in a database.

    Args:
        url: `sqlite:///folder/news.sqlite`, or `postgresql+psycopg://user@host/name`.

    Raises:
        UserError: If it is no such URL, or cannot be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
            if self.url.get_backend_name() == "sqlite":
                if not self.url.database or self.url.database == ":memory:":
                    raise UserError("the database needs a file: sqlite:///news.sqlite")
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            # With their parameters, messages of errors would quote what somebody wrote.
            self._engine = create_engine(self.url, hide_parameters=True)
            if self.url.get_backend_name() == "sqlite":
                event.listen(self._engine, "connect", _durable)
            SCHEMA.create_all(self._engine)
        except (ArgumentError, ModuleNotFoundError):
            raise UserError(
                "the database's URL cannot be read: sqlite:///news.sqlite or postgresql+psycopg://…"
            ) from None
        except (SQLAlchemyError, OSError) as error:
            said = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise UserError(f"the database {make_url(url).render_as_string(hide_password=True)}: {said}") from None

    def add(
        self,
        head: Head,
        *,
        labels: Sequence[str],
        encoder: str,
        temperature: float,
        unsure_below: float,
        action: Action,
        reason: str,
        numbers: dict[str, Any],
        parent: int | None = None,
        feedback: Sequence[int] = (),
    ) -> int:
        """Write a version and what was decided of it, in one transaction. Returns the version's number.

        Args:
            feedback: What it learned from, which is then used up.

        Raises:
            UserError: If another version has learned from that feedback meanwhile.
        """
        with self._engine.begin() as connection:
            row: dict[str, Any] = {
                "made": _now(),
                "encoder": encoder,
                "parent": parent,
                "labels": json.dumps(list(labels)),
            }
            row |= {"temperature": temperature, "unsure_below": unsure_below, "head": head.packed()}
            version = _key(connection.execute(insert(VERSIONS).values(row)))
            decision = _key(connection.execute(_decided(action, version, reason, numbers)))
            if feedback:
                unused = FEEDBACK.c.id.in_(feedback) & FEEDBACK.c.used_by.is_(None)
                if connection.execute(update(FEEDBACK).where(unused).values(used_by=decision)).rowcount != len(
                    feedback
                ):
                    raise UserError("another server learned from these corrections meanwhile: ask again")
        return version

    def rollback(self, reason: str) -> Version:
        """Let the version before the current one answer again.

        Raises:
            UserError: If there is none.
        """
        with self._engine.begin() as connection:
            history = [
                row.version
                for row in connection.execute(
                    select(DECISIONS.c.version).where(DECISIONS.c.action.in_(RELEASING)).order_by(DECISIONS.c.id)
                )
            ]
            parent = None
            if history:
                parent = connection.execute(select(VERSIONS.c.parent).where(VERSIONS.c.id == history[-1])).scalar_one()
            if parent is None:
                raise UserError("there is no version before this one")
            connection.execute(_decided("rollback", parent, reason, {}))
        return self.get(parent)

    def current(self) -> Version | None:
        """The version that answers; None in a new database."""
        asked = select(DECISIONS.c.version).where(DECISIONS.c.action.in_(RELEASING)).order_by(DECISIONS.c.id.desc())
        with self._engine.connect() as connection:
            found = connection.execute(asked.limit(1)).scalar_one_or_none()
        return None if found is None else self.get(found)

    def get(self, version: int) -> Version:
        """A version by its number.

        Raises:
            UserError: If there is none.
        """
        with self._engine.connect() as connection:
            row = connection.execute(select(VERSIONS).where(VERSIONS.c.id == version)).one_or_none()
        if row is None:
            raise UserError(f"there is no version {version}")
        head = Head.unpacked(row.head)
        try:
            labels = tuple(map(str, json.loads(row.labels)))
        except (ValueError, TypeError):
            labels = ()
        if len(labels) != len(head.bias) or not row.temperature > 0:
            raise UserError(f"the stored version {version} does not fit together: restore the database")
        fields = (row.id, row.made, row.encoder, row.parent, labels, row.temperature)
        return Version(*fields, row.unsure_below, head)

    def decisions(self, most: int = 100) -> list[dict[str, Any]]:
        """The latest decisions, newest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(DECISIONS).order_by(DECISIONS.c.id.desc()).limit(most)).mappings().all()
        return [{**row, "numbers": json.loads(row["numbers"])} for row in rows]

    # ------------------------------------------------------------ feedback

    def say(self, text: str, said: str, label: str, version: int) -> int:
        """Keep what somebody says is right; when this returns it is on disk. Returns its number."""
        row = {"made": _now(), "text": text, "said": said, "label": label, "version": version}
        with self._engine.begin() as connection:
            return _key(connection.execute(insert(FEEDBACK).values(row)))

    def feedback(self, *, unused: bool = True) -> list[dict[str, Any]]:
        """What people said, in order; by default what no update has learned from."""
        asked = select(FEEDBACK).order_by(FEEDBACK.c.id)
        if unused:
            asked = asked.where(FEEDBACK.c.used_by.is_(None))
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    def waiting(self) -> int:
        """How many labels no update has learned from."""
        asked = select(func.count()).select_from(FEEDBACK).where(FEEDBACK.c.used_by.is_(None))
        with self._engine.connect() as connection:
            return int(connection.execute(asked).scalar_one())

    def count(self) -> dict[str, int]:
        """Rows of each table."""
        with self._engine.connect() as connection:
            return {
                table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in (VERSIONS, DECISIONS, FEEDBACK)
            }

    def close(self) -> None:
        """Let go of all connections."""
        self._engine.dispose()


def _decided(action: str, version: int, reason: str, numbers: dict[str, Any]) -> Any:
    row = {"made": _now(), "action": action, "version": version, "reason": reason, "numbers": json.dumps(numbers)}
    return insert(DECISIONS).values(row)


def _key(inserted: Any) -> int:
    return int(inserted.inserted_primary_key[0])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _durable(connection: Any, _: Any) -> None:
    """SQLite: a log that readers and a writer share, every commit on disk, keys that hold, writers that wait."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def new_head(topics: int, width: int) -> Head:
    """Zeros."""
    return Head(torch.zeros(topics, width), torch.zeros(topics))
