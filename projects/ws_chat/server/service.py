"""The chat without HTTP: what is kept, what is going on, who is connected."""

import asyncio
import logging
import sys
from contextlib import suppress
from datetime import timedelta
from typing import cast

from argon2 import PasswordHasher
from sqlalchemy.exc import SQLAlchemyError

from projects.ws_chat.backends.backend import Backend
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import read_rules
from projects.ws_chat.protocol import Changed
from projects.ws_chat.replicas import Relay
from projects.ws_chat.server.connections import Connections
from projects.ws_chat.server.settings import Settings
from projects.ws_chat.store.accounts import Account, Accounts, Session
from projects.ws_chat.store.conversations import Conversations
from projects.ws_chat.store.database import Database
from projects.ws_chat.wires import Wires
from shared.web import logs
from shared.web.limits import Limiter


class Chat:
    """The service.

    Args:
        backend: Writes the answers.
        settings: What the server was told.
        hasher: Hashes passwords; a quick one for tests.

    Attributes:
        ready: Whether it serves: False before it has begun and when it is told to stop.
    """

    def __init__(self, backend: Backend, settings: Settings, hasher: PasswordHasher | None = None) -> None:
        self.settings, self.backend, self.ready = settings, backend, False
        self.database = Database(settings.database_url)
        lasting = timedelta(hours=settings.session_hours)
        self.accounts = Accounts(self.database, lasting=lasting, hasher=hasher)
        self.conversations = Conversations(self.database)
        waiting = (settings.waiting, settings.waiting_of_one)
        rules = read_rules(settings.blocked)
        self.hub = Hub(self.conversations, backend, rules, waiting=waiting, grace=settings.grace)
        most = (settings.sockets, settings.sockets_of_one)
        self.relay = (
            Relay(self.hub, settings.redis, lease=settings.lease, notice=self._notice) if settings.redis else None
        )
        self.connections = Connections(self.relay or self.hub, most=most, ping=settings.ping, frames=settings.frames)
        self.names = Limiter(rate=1 / 30, burst=settings.logins)
        self.addresses = Limiter(rate=1 / 5, burst=4 * settings.logins)
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the database up to date and begin.

        Raises:
            UserError: If the database cannot be used.
        """
        await self.database.migrate()
        code = await self.accounts.first_invitation()
        if code is not None:  # on standard error, beside the log: standard output says where the server is
            sys.stderr.write(f"invitation of the first administrator, shown once: /login#{code}\n")
            sys.stderr.flush()
        if self.relay is not None:
            await self.relay.start()
        self._ticking = asyncio.create_task(self._tick())
        self.ready = True

    async def close(self) -> None:
        """Let running answers end for a while, store what there is of the others, and let go of everything."""
        self.ready = False
        if self._ticking is not None:
            self._ticking.cancel()
        talking = self.relay or self.hub
        await talking.drain(self.settings.drain)
        await talking.close()
        await self.backend.close()
        await self.database.close()

    # ------------------------------------------------------------ what closes sockets

    async def logout(self, session: Session) -> None:
        """End a session and every socket of it."""
        await self.accounts.end(session.digest)
        self._tell(session=session.digest)

    async def change_password(self, session: Session, password: str) -> None:
        """Another password: whoever else is logged in with the old one is out, and so are their sockets.

        Raises:
            UserError: If the password is too short or too long.
        """
        for digest in await self.accounts.change_password(session, password):
            self._tell(session=digest)

    async def delete_account(self, account: Account) -> None:
        """Delete everything of somebody, and end their sockets and answers."""
        conversations = await self.conversations.all(account.id)
        await self.accounts.delete(account)
        self._tell(user=account.id)
        for each in conversations:
            await (self.relay or self.hub).forget(each.id)

    async def delete_conversation(self, user: str, conversation: str) -> bool:
        """Delete a conversation, end its answer, tell the user's pages; False if there is none."""
        deleted = await self.conversations.delete(user, conversation)
        if deleted:
            await (self.relay or self.hub).forget(conversation)
            self._tell(user=user, changed=conversation)
        return deleted

    async def rename(self, user: str, conversation: str, title: str) -> bool:
        """Give a conversation another title and tell the user's pages; False if there is none."""
        renamed = await self.conversations.rename(user, conversation, title)
        if renamed:
            self._tell(user=user, changed=conversation)
        return renamed

    def _tell(self, **told: str) -> None:
        """What concerns the sockets of somebody, at every replica."""
        if self.relay is None:
            self._notice(told)
        else:
            self.relay.tell_all(**told)

    def _notice(self, told: dict[str, str]) -> None:
        if "session" in told:
            self.connections.close_sessions({told["session"]})
        elif "changed" in told:
            self.connections.tell(told["user"], Changed(conversation=told["changed"]))
        else:
            self.connections.close_user(told["user"])

    async def _tick(self) -> None:
        """Ask whether lines are alive, and end the sockets of sessions that ended at another process."""
        while True:
            await asyncio.sleep(self.settings.ping)
            self.connections.ping()
            with suppress(SQLAlchemyError):
                await self.check_sessions()

    async def check_sessions(self) -> None:
        """End the sockets of sessions that do not hold any more."""
        open_ones = self.connections.sessions()
        if gone := open_ones - await self.accounts.lasting_of(open_ones):
            logs.line(logging.INFO, event="sessions ended")
            self.connections.close_sessions(gone)


def refuse_unusable(settings: Settings) -> None:
    """Try the database, which is brought up to date, and Redis, before a model is loaded.

    Raises:
        UserError: If one of them cannot be used.
    """
    asyncio.run(Database(settings.database_url).migrate())
    if settings.redis:
        asyncio.run(Wires(settings.redis, "", pause=0.0).check())


def load_backend(settings: Settings) -> Backend:
    """Whoever writes the answers.

    Raises:
        UserError: If the model is not there.
    """
    if settings.base_url:
        from projects.ws_chat.backends.remote import RemoteBackend

        key, context = settings.api_key, settings.context
        return RemoteBackend(settings.base_url, settings.model, key=key, at_once=settings.at_once, context=context)
    if settings.backend in ("script", "clock"):
        from projects.ws_chat.backends.scripted import Scripted, clock, echo

        script = clock if settings.backend == "clock" else echo
        return Scripted(script=script, seconds=settings.pace, at_once=settings.at_once)
    from projects.ws_chat.backends.engine import EngineBackend
    from shared.engine import load_engine
    from shared.engine.graph import Precision

    return EngineBackend(load_engine(precision=cast(Precision, settings.precision)), at_once=settings.at_once)
