"""The tables, as SQLAlchemy knows them; the migrations make the same ones, which a test compares."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

METADATA = MetaData()


class Moment(TypeDecorator[datetime]):
    """A time in UTC, whatever a database thinks of zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, _: Dialect) -> datetime | None:
        """From the database: SQLite forgets the zone."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


def _of(table: str) -> Column[str]:
    """A column that points to a row of another table, and goes when that goes."""
    return Column(f"{table}_id", String(40), ForeignKey(f"{table}s.id", ondelete="CASCADE"), nullable=False, index=True)


USERS = Table(
    "users",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("folded", String(40), nullable=False, unique=True),  # so that Ana and ana are one
    Column("password", String(200), nullable=False),  # argon2's own notation, salt included
    Column("admin", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
)
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", String(64), primary_key=True),  # of the token; the token itself is nowhere kept
    _of("user"),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
)
INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("admin", Boolean, nullable=False),
    Column("expires", Moment, nullable=False),
)
CONVERSATIONS = Table(
    "conversations",
    METADATA,
    Column("id", String(40), primary_key=True),
    _of("user"),
    Column("title", String(200), nullable=False),
    Column("folded", String(800), nullable=False),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
    Column("reserved", BigInteger, nullable=False),  # the last number of an event that a process may have used
)
MESSAGES = Table(
    "messages",
    METADATA,
    Column("place", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _of("conversation"),
    Column("id", String(40), nullable=False),
    Column("role", String(10), nullable=False),
    Column("text", Text, nullable=False),
    Column("folded", Text, nullable=False),  # as it is searched: without case and accents
    Column("created", Moment, nullable=False),
    Column("reason", String(10)),
    UniqueConstraint("conversation_id", "id", name="message_once"),
)
