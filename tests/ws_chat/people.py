"""A database with people in it, and a hash that takes no time."""

from contextlib import asynccontextmanager

from argon2 import PasswordHasher

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
