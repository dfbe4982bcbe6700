"""A database by its URL: SQLite in a file by default, PostgreSQL for more than one machine."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY = 10.0  # seconds that SQLite waits for another writer
CONNECTIONS = 8
WAL = "PRAGMA journal_mode = WAL"
DRIVERS = {"sqlite": ("sqlite", "sqlite+aiosqlite"), "postgresql": ("postgresql+psycopg", "postgresql+psycopg")}
ALONE = text("SELECT pg_advisory_xact_lock(:lock)")  # until the transaction ends
LOCK = 0x77735F63686174  # "ws_chat": the advisory lock under which PostgreSQL is migrated


class Database:
    """Connections to one database.

    Args:
        url: `sqlite:///folder/chat.sqlite` or `postgresql://user@host/name`.

    Raises:
        UserError: If it is no such URL.
    """

    def __init__(self, url: str) -> None:
        self.url = _read_url(url)
        # With their parameters, messages of errors would quote what somebody wrote.
        self._engine: AsyncEngine = create_async_engine(
            self._with_driver(1), hide_parameters=True, pool_size=CONNECTIONS, max_overflow=0
        )
        _prepare(self._engine.sync_engine)
        # The pool's own line lets newcomers pass and gives up after half a minute: who got past this has a connection.
        self._free = asyncio.Semaphore(CONNECTIONS)
        # SQLite lets writers ask again and again, in no order: of two hundred at once, some would give up.
        sqlite = self.url.get_backend_name() == "sqlite"
        self._next: AbstractAsyncContextManager[None] = asyncio.Lock() if sqlite else nullcontext()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements see one state of the database."""
        async with self._free, self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: when the block has ended well, what it wrote is on disk."""
        async with self._next, self._free, self._engine.execution_options(writes=True).begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing_alone(self) -> AsyncIterator[AsyncConnection]:
        """A transaction in which nobody else is within one of these: what it has looked for stays as it was.

        SQLite has one writer at a time in any case; PostgreSQL would let two look for the same name and both write it.
        """
        async with self.writing() as connection:
            if self.url.get_backend_name() != "sqlite":
                await connection.execute(ALONE, {"lock": LOCK + 1})
            yield connection

    async def migrate(self) -> None:
        """Bring the tables up to date; of several processes that start at once, one does it and the others wait.

        Raises:
            UserError: If the database cannot be reached or used.
        """
        try:
            await asyncio.to_thread(self._migrate)
        except CommandError:
            raise UserError(f"the database {self.shown} is of another version of this program") from None
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            cause = getattr(error, "orig", None) or error
            said = [*str(cause.args[0] if cause.args else cause).strip().splitlines(), type(cause).__name__]
            raise UserError(f"the database {self.shown} cannot be used: {said[0]}") from None

    async def close(self) -> None:
        """Let go of all connections."""
        await self._engine.dispose()

    @property
    def shown(self) -> str:
        """Its URL without a password."""
        return self.url.render_as_string(hide_password=True)

    def _with_driver(self, which: int) -> URL:
        return self.url.set(drivername=DRIVERS[self.url.get_backend_name()][which])

    def _migrate(self) -> None:
        engine = create_engine(self._with_driver(0), hide_parameters=True)
        _prepare(engine, wal=False)
        try:
            with self._alone(engine) as connection:
                config = Config()
                config.set_main_option("script_location", str(MIGRATIONS))
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            engine.dispose()

    @contextmanager
    def _alone(self, engine: Engine) -> Iterator[Connection]:
        """A transaction in which no other process migrates."""
        if self.url.get_backend_name() == "sqlite":
            path = Path(str(self.url.database))
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                with engine.execution_options(writes=True).begin() as connection:
                    yield connection
                with closing(engine.raw_connection()) as connected:  # only now: a file of others stays as it was
                    connected.cursor().execute(WAL)
        else:
            with engine.begin() as connection:
                connection.execute(ALONE, {"lock": LOCK})
                yield connection


def _read_url(url: str) -> URL:
    try:
        read = make_url(url)
        backend = read.get_backend_name()
    except ArgumentError:
        raise UserError("the database's URL cannot be read: sqlite:///chat.sqlite or postgresql://host/name") from None
    if backend not in DRIVERS or not read.database or read.database == ":memory:":
        raise UserError(f"{backend}: the database is sqlite:///chat.sqlite or postgresql://host/name")
    return read


def _prepare(engine: Engine, *, wal: bool = True) -> None:
    """SQLite: a log that readers and a writer share, every commit on disk, keys that hold, writers that wait.

    Source: SQLAlchemy's manual, "Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transaction of its own
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY * 1000)}")
        for pragma in (*([WAL] if wal else []), "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"):
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # One that reads first and writes later fails if another wrote meanwhile: who writes says so at once, and waits.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
