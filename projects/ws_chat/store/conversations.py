"""Conversations and their messages. Each function that changes something has committed it when it returns."""

import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from projects.ws_chat.protocol import Stored
from projects.ws_chat.store.database import Database
from projects.ws_chat.store.interface import GoneError
from projects.ws_chat.store.schema import CONVERSATIONS, MESSAGES
from shared.errors import UserError

MOST_CONVERSATIONS = 1_000  # of one user
LONGEST_TITLE = 60  # that is made of a first message
AROUND = 60  # characters of a text shown on both sides of what was searched
MOST_FOUND = 50


@dataclass(frozen=True)
class Summary:
    """A conversation in a list.

    Attributes:
        found: The text around what was searched; empty in a whole list, or if the title matched.
    """

    id: str
    title: str
    changed: datetime
    found: str = ""


class Conversations:
    """All conversations of all users; each question says whose."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------ what the hub needs

    async def messages(self, user: str, conversation: str) -> list[Stored] | None:
        """All of a conversation, oldest first; None if there is none of this user."""
        async with self._database.reading() as connection:
            if not await _owned(connection, user, conversation):
                return None
            asked = select(MESSAGES).where(MESSAGES.c.conversation_id == conversation).order_by(MESSAGES.c.place)
            return [_stored(row) for row in (await connection.execute(asked)).mappings()]

    async def reserve(self, conversation: str, count: int) -> int:
        """Numbers for events that no process has had or will have: the one before the first of them.

        Raises:
            GoneError: If the conversation was deleted.
        """
        async with self._database.writing() as connection:
            taken = update(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation)
            taken = taken.values(reserved=CONVERSATIONS.c.reserved + count)
            last = (await connection.execute(taken.returning(CONVERSATIONS.c.reserved))).scalar_one_or_none()
            if last is None:
                raise GoneError
            return cast(int, last) - count

    async def add(self, conversation: str, message: Stored) -> bool:
        """Keep a message; False if its id is there already. It is on disk when this returns.

        Raises:
            GoneError: If the conversation was deleted.
        """
        async with self._database.writing() as connection:
            kept = select(CONVERSATIONS.c.id).where(CONVERSATIONS.c.id == conversation).with_for_update()
            if (await connection.execute(kept)).scalar_one_or_none() is None:  # another writer waits here
                raise GoneError
            same = and_(MESSAGES.c.conversation_id == conversation, MESSAGES.c.id == message.id)
            if (await connection.execute(select(exists().where(same)))).scalar_one():
                return False
            await _insert(connection, conversation, message)
            await _touch(connection, conversation)
            if message.role == "user":
                title = title_of(message.text)
                unnamed = and_(CONVERSATIONS.c.id == conversation, CONVERSATIONS.c.title == "")
                await connection.execute(update(CONVERSATIONS).where(unnamed).values(title=title, folded=fold(title)))
            return True

    async def remove_from(self, conversation: str, message: str, instead: Stored | None = None) -> list[str]:
        """Take away a message and all after it, and keep another instead, or do neither; the ids of what is gone."""
        async with self._database.writing() as connection:
            of_it = MESSAGES.c.conversation_id == conversation
            first = select(MESSAGES.c.place).where(of_it, MESSAGES.c.id == message).scalar_subquery()
            later = and_(of_it, MESSAGES.c.place >= first)
            ids = (await connection.execute(select(MESSAGES.c.id).where(later).order_by(MESSAGES.c.place))).scalars()
            removed = list(ids)
            await connection.execute(delete(MESSAGES).where(of_it, MESSAGES.c.id.in_(removed)))
            if instead is not None:
                if not removed:
                    raise GoneError
                await _insert(connection, conversation, instead)
            await _touch(connection, conversation)
            return removed

    # ------------------------------------------------------------ what lists need

    async def create(self, user: str) -> Summary:
        """A conversation without a title, which its first message gives.

        Raises:
            UserError: If the user has too many.
        """
        now, identity = datetime.now(UTC), secrets.token_urlsafe(12)
        async with self._database.writing_alone() as connection:
            own = select(func.count()).select_from(CONVERSATIONS).where(CONVERSATIONS.c.user_id == user)
            if (await connection.execute(own)).scalar_one() >= MOST_CONVERSATIONS:
                raise UserError(f"there are {MOST_CONVERSATIONS} conversations already: delete some first")
            values = {"id": identity, "user_id": user, "title": "", "folded": "", "reserved": 0}
            await connection.execute(insert(CONVERSATIONS).values(values | {"created": now, "changed": now}))
        return Summary(identity, "", now)

    async def all(self, user: str) -> list[Summary]:
        """The user's conversations, the last changed first."""
        asked = select(CONVERSATIONS).where(CONVERSATIONS.c.user_id == user)
        async with self._database.reading() as connection:
            rows = (await connection.execute(asked.order_by(CONVERSATIONS.c.changed.desc()))).mappings()
            return [Summary(row["id"], row["title"], row["changed"]) for row in rows]

    async def search(self, user: str, text: str) -> list[Summary]:
        """Conversations whose title or messages hold a text, whatever its case and accents."""
        wanted = fold(text)
        within = MESSAGES.alias("within")
        matching = within.c.folded.contains(wanted, autoescape=True)
        first = select(func.min(within.c.place)).where(within.c.conversation_id == CONVERSATIONS.c.id, matching)
        joined = CONVERSATIONS.outerjoin(MESSAGES, MESSAGES.c.place == first.correlate(CONVERSATIONS).scalar_subquery())
        asked = select(CONVERSATIONS.c.id, CONVERSATIONS.c.title, CONVERSATIONS.c.changed, MESSAGES.c.text)
        found = or_(MESSAGES.c.place.is_not(None), CONVERSATIONS.c.folded.contains(wanted, autoescape=True))
        asked = asked.select_from(joined).where(CONVERSATIONS.c.user_id == user, found)
        asked = asked.order_by(CONVERSATIONS.c.changed.desc()).limit(MOST_FOUND)
        async with self._database.reading() as connection:
            rows = (await connection.execute(asked)).all()
        return [Summary(row.id, row.title, row.changed, around(row.text or "", wanted)) for row in rows]

    async def named(self, user: str, conversation: str) -> Summary | None:
        """One conversation; None if there is none of this user."""
        asked = select(CONVERSATIONS).where(CONVERSATIONS.c.id == conversation, CONVERSATIONS.c.user_id == user)
        async with self._database.reading() as connection:
            row = (await connection.execute(asked)).mappings().one_or_none()
        return None if row is None else Summary(row["id"], row["title"], row["changed"])

    async def rename(self, user: str, conversation: str, title: str) -> bool:
        """Give it another title; False if there is none of this user."""
        own = and_(CONVERSATIONS.c.id == conversation, CONVERSATIONS.c.user_id == user)
        async with self._database.writing() as connection:
            changed = await connection.execute(update(CONVERSATIONS).where(own).values(title=title, folded=fold(title)))
            return changed.rowcount == 1

    async def delete(self, user: str, conversation: str) -> bool:
        """Delete it with its messages; False if there is none of this user."""
        own = and_(CONVERSATIONS.c.id == conversation, CONVERSATIONS.c.user_id == user)
        async with self._database.writing() as connection:
            return (await connection.execute(delete(CONVERSATIONS).where(own))).rowcount == 1


def fold(text: str) -> str:
    """A text as it is searched: without case, accents, and differences of width."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


def title_of(text: str) -> str:
    """The beginning of a first message, up to a whole word."""
    line = " ".join(text.split())
    if len(line) <= LONGEST_TITLE:
        return line
    return f"{line[: LONGEST_TITLE - 1].rsplit(' ', 1)[0]}…"


def around(text: str, wanted: str) -> str:
    """The part of a text in which a folded text was found."""
    folded, places = "", []
    for place, character in enumerate(text):
        part = fold(character)
        folded += part
        places += [place] * len(part)
    found = folded.find(wanted)
    if found < 0 or not wanted:
        return ""
    start, end = max(0, places[found] - AROUND), places[found + len(wanted) - 1] + 1 + AROUND
    shown = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{shown}{'…' if end < len(text) else ''}"


async def _owned(connection: AsyncConnection, user: str, conversation: str) -> bool:
    own = exists().where(CONVERSATIONS.c.id == conversation, CONVERSATIONS.c.user_id == user)
    return bool((await connection.execute(select(own))).scalar_one())


async def _insert(connection: AsyncConnection, conversation: str, message: Stored) -> None:
    values = message.model_dump() | {"conversation_id": conversation, "folded": fold(message.text)}
    await connection.execute(insert(MESSAGES).values(values))


async def _touch(connection: AsyncConnection, conversation: str) -> None:
    of_it = CONVERSATIONS.c.id == conversation
    await connection.execute(update(CONVERSATIONS).where(of_it).values(changed=datetime.now(UTC)))


def _stored(row: Any) -> Stored:
    return Stored(**{name: row[name] for name in ("id", "role", "text", "created", "reason")})


def as_markdown(title: str, messages: Sequence[Stored], names: dict[str, str]) -> str:
    """A conversation for a person to read; `names` says how each role is called."""
    parts = [f"# {title}"]
    for each in messages:
        parts.append(f"## {names[each.role]} · {each.created:%Y-%m-%d %H:%M} UTC\n\n{each.text}")
    return "\n\n".join(parts) + "\n"
