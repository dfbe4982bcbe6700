"""Accounts, sessions and invitations. Of what lets somebody in, only digests are kept.

Tokens have 256 random bits, so SHA-256 is enough for them; passwords are chosen by people and get argon2.
"""

import asyncio
import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, and_, delete, exists, insert, select, update

from projects.ws_chat.store.database import Database
from projects.ws_chat.store.schema import INVITATIONS, SESSIONS, USERS
from shared.errors import UserError

Result = TypeVar("Result")
NAME = re.compile(r"[\w][\w.-]{1,31}")
SHORTEST, LONGEST = 10, 200  # characters of a password
HASHES_AT_ONCE = 2  # each takes 64 MiB and a core for some 50 ms
INVITED_FOR = timedelta(days=7)


@dataclass(frozen=True)
class Account:
    """Somebody who may come in."""

    id: str
    name: str
    admin: bool


@dataclass(frozen=True)
class Session:
    """A browser in which somebody is logged in."""

    digest: str
    account: Account
    expires: datetime


class Accounts:
    """Who may come in, and who is in.

    Args:
        database: Holds them.
        lasting: How long a session lasts, from login on.
        hasher: Hashes passwords; by default argon2id with the parameters of RFC 9106's second choice.
        clock: The time, for tests.
    """

    def __init__(
        self,
        database: Database,
        *,
        lasting: timedelta = timedelta(days=7),
        hasher: PasswordHasher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self.lasting, self._clock = database, lasting, clock
        self._hasher = hasher or PasswordHasher()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_hex())  # verified where there is no account: it takes as long

    # ------------------------------------------------------------ invitations

    async def first_invitation(self) -> str | None:
        """A code for the first administrator, once: None if there is an account, or a code that still holds."""
        async with self._database.writing_alone() as connection:
            valid = and_(INVITATIONS.c.admin, INVITATIONS.c.expires > self._clock())
            there = select(exists().where(USERS.c.admin) | exists().where(valid))
            if (await connection.execute(there)).scalar_one():
                return None
            code = secrets.token_urlsafe(16)
            await connection.execute(insert(INVITATIONS).values(self._invitation(code, admin=True)))
        return code

    async def invite(self, *, admin: bool = False) -> str:
        """A code with which one person can make an account. It is returned here and never again."""
        code = secrets.token_urlsafe(16)
        async with self._database.writing() as connection:
            await connection.execute(delete(INVITATIONS).where(INVITATIONS.c.expires <= self._clock()))
            await connection.execute(insert(INVITATIONS).values(self._invitation(code, admin=admin)))
        return code

    async def register(self, code: str, name: str, password: str) -> Account:
        """Make an account with an invitation, which is used up.

        Raises:
            UserError: If the code does not hold, the name is taken or none, the password too short or too long.
        """
        name = unicodedata.normalize("NFKC", name).strip()
        if not NAME.fullmatch(name):
            raise UserError("a name has 2 to 32 letters, digits, '.', '-' or '_', and begins with a letter or digit")
        _check_password(password, name)
        await self._check_code(code)  # before the costly hash, so that nobody without a code can ask for hashes
        hashed = await self._costly(self._hasher.hash, password)
        async with self._database.writing_alone() as connection:
            if (await connection.execute(select(exists().where(USERS.c.folded == folded(name))))).scalar_one():
                raise UserError("this name is taken")
            used = delete(INVITATIONS).where(self._valid(code)).returning(INVITATIONS.c.admin)
            admin = (await connection.execute(used)).scalar_one_or_none()
            if admin is None:
                raise UserError("this invitation does not hold, or was used")
            account = Account(secrets.token_urlsafe(12), name, admin)
            values = {"id": account.id, "name": name, "folded": folded(name), "password": hashed, "admin": admin}
            await connection.execute(insert(USERS).values(values | {"created": self._clock()}))
        return account

    # ------------------------------------------------------------ sessions

    async def check(self, name: str, password: str) -> Account | None:
        """The account, if the password is its own. Takes the same time whether or not there is one."""
        async with self._database.reading() as connection:
            row = (
                (await connection.execute(select(USERS).where(USERS.c.folded == folded(name)))).mappings().one_or_none()
            )
        hashed = self._nobody if row is None else row["password"]
        fits = await self._costly(self._verify, hashed, password[: LONGEST + 1])
        if row is None or not fits:
            return None
        if self._hasher.check_needs_rehash(hashed):
            again = await self._costly(self._hasher.hash, password)
            async with self._database.writing() as connection:
                await connection.execute(update(USERS).where(USERS.c.id == row["id"]).values(password=again))
        return Account(row["id"], row["name"], row["admin"])

    async def begin(self, account: Account, instead_of: str = "") -> tuple[str, Session]:
        """A new session and its token; a session that the browser had before ends."""
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(digest(token), account, now + self.lasting)
        async with self._database.writing() as connection:
            old = (SESSIONS.c.digest == digest(instead_of)) | (SESSIONS.c.expires <= now)
            await connection.execute(delete(SESSIONS).where(old))
            values = {"digest": session.digest, "user_id": account.id, "created": now, "expires": session.expires}
            await connection.execute(insert(SESSIONS).values(values))
        return token, session

    async def session(self, token: str) -> Session | None:
        """Who a token lets in; None if it is none of ours, ended or expired."""
        asked = select(SESSIONS.c.expires, USERS.c.id, USERS.c.name, USERS.c.admin).join(USERS)
        asked = asked.where(SESSIONS.c.digest == digest(token), SESSIONS.c.expires > self._clock())
        async with self._database.reading() as connection:
            row = (await connection.execute(asked)).one_or_none()
        return None if row is None else Session(digest(token), Account(row.id, row.name, row.admin), row.expires)

    async def end(self, session: str) -> None:
        """A session, named by its digest, lets nobody in any more."""
        async with self._database.writing() as connection:
            await connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == session))

    async def change_password(self, session: Session, password: str) -> set[str]:
        """Another password; every other session of the account ends. Returns their digests.

        Raises:
            UserError: If the password is too short or too long.
        """
        account = session.account
        _check_password(password, account.name)
        hashed = await self._costly(self._hasher.hash, password)
        others = and_(SESSIONS.c.user_id == account.id, SESSIONS.c.digest != session.digest)
        async with self._database.writing() as connection:
            await connection.execute(update(USERS).where(USERS.c.id == account.id).values(password=hashed))
            ended = await connection.execute(delete(SESSIONS).where(others).returning(SESSIONS.c.digest))
            return set(ended.scalars())

    async def lasting_of(self, sessions: Collection[str]) -> set[str]:
        """Those of these sessions, named by their digests, that still hold."""
        asked = select(SESSIONS.c.digest).where(SESSIONS.c.digest.in_(sessions), SESSIONS.c.expires > self._clock())
        async with self._database.reading() as connection:
            return set((await connection.execute(asked)).scalars())

    async def delete(self, account: Account) -> None:
        """Delete an account with its sessions, conversations and messages."""
        async with self._database.writing() as connection:
            await connection.execute(delete(USERS).where(USERS.c.id == account.id))

    # ------------------------------------------------------------ within

    def _invitation(self, code: str, *, admin: bool) -> dict[str, object]:
        return {"digest": digest(code), "admin": admin, "expires": self._clock() + INVITED_FOR}

    def _valid(self, code: str) -> ColumnElement[bool]:
        return and_(INVITATIONS.c.digest == digest(code), INVITATIONS.c.expires > self._clock())

    async def _check_code(self, code: str) -> None:
        async with self._database.reading() as connection:
            if not (await connection.execute(select(exists().where(self._valid(code))))).scalar_one():
                raise UserError("this invitation does not hold, or was used")

    async def _costly(self, work: Callable[..., Result], *arguments: object) -> Result:
        async with self._hashing:
            return await asyncio.to_thread(work, *arguments)

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def folded(name: str) -> str:
    """A name as it is looked for: in whatever case, width and space it was written, it is one account."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _check_password(password: str, name: str) -> None:
    if not SHORTEST <= len(password) <= LONGEST:
        raise UserError(f"a password has {SHORTEST} to {LONGEST} characters")
    if name.casefold() in password.casefold():
        raise UserError("the name must not be within the password")
