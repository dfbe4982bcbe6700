"""A database with people in it, a hash that takes no time, what they say, and an end to every wait."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from argon2 import PasswordHasher

from projects.ws_chat.protocol import Stored
from projects.ws_chat.store.accounts import Accounts
from projects.ws_chat.store.database import Database

HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"


@asynccontextmanager
async def opened(where):
    """A database in a folder, or at a URL."""
    database = Database(where if isinstance(where, str) else f"sqlite:///{where / 'chat.sqlite'}")
    await database.migrate()
    try:
        yield database
    finally:
        await database.close()


async def make_user(database, name, *, admin=False):
    accounts = Accounts(database, hasher=HASHER)
    return (await accounts.register(await accounts.invite(admin=admin), name, PASSWORD)).id


def said(identity, text, role="user", reason=None):
    return Stored(id=identity, role=role, text=text, created=datetime.now(UTC), reason=reason)


def run(test):
    asyncio.run(asyncio.wait_for(test, 60))
