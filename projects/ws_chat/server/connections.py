"""Open sockets: what each is sent and takes, and everything that ends one.

The hub puts frames into an outbox and never waits; a task sends them, and is gone when all is sent, so that a socket on
which nothing happens costs one task and no more. A page that does not read fills its outbox and is sent away: what it
has cost is bounded, and nobody else has waited for it.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from projects.ws_chat import protocol
from projects.ws_chat.hub import Hub
from projects.ws_chat.protocol import RECEIVED, Sent, Shown
from projects.ws_chat.refusals import RefusedError
from projects.ws_chat.replicas import Relay
from projects.ws_chat.store.accounts import Session
from shared.web import logs
from shared.web.limits import Limiter

MOST_FRAMES, MOST_CHARACTERS = 512, 2**20  # that wait in one outbox
SEND_WITHIN = 10.0  # seconds that the network may take to accept a frame
HELLO_WITHIN = 10.0
MISTAKES = 50  # frames that are not taken, before the socket is closed
TYPING_EVERY = 1.0
NO_MORE = (1013, 4401, 4408)  # who does not read, or may not, gets nothing but the end
MOST_SHOWN = 100  # conversations of one socket
_ACTING: set[asyncio.Future[None]] = set()  # asyncio itself keeps no hold of what runs


class Connection:
    """One socket of somebody who is logged in.

    Attributes:
        session: The browser's login.
        unanswered: Pings since anything came.
    """

    def __init__(self, websocket: WebSocket, session: Session, hub: Hub | Relay, limiter: Limiter, ping: float) -> None:
        self.session, self.unanswered = session, 0
        self._websocket, self._hub, self._limiter, self._ping = websocket, hub, limiter, ping
        self._outbox: list[str] = []  # an empty deque would be twelve times as large
        self._characters = 0
        self._sending: asyncio.Task[None] | None = None
        self._reading: asyncio.Timeout | None = None  # while it reads: whoever has sent the end ends it by this
        self._code: int | None = None
        self._greeted, self._mistakes, self._typed = False, 0, 0.0
        self._shown: set[str] = set()

    # ------------------------------------------------------------ out

    def listen(self, frame: Shown) -> None:
        """Put a frame where it will be sent from."""
        if self._code is not None:
            return
        text = frame.model_dump_json()
        if self._outbox and (len(self._outbox) >= MOST_FRAMES or self._characters + len(text) > MOST_CHARACTERS):
            self.close(1013)
            return
        self._outbox.append(text)
        self._characters += len(text)
        self._wake()

    def close(self, code: int) -> None:
        """End the socket with a code; a second one changes nothing."""
        if self._code is None:
            self._code = code
            if code != 1000:
                logs.line(event="closing", status=code)
            self._wake()

    def _wake(self) -> None:
        if self._reading is not None and self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # the other side is gone: the reader learns it too
            try:
                while self._outbox and self._code not in NO_MORE:
                    text = self._outbox.pop(0)
                    self._characters -= len(text)
                    async with asyncio.timeout(SEND_WITHIN):
                        await self._websocket.send_text(text)
            except TimeoutError:
                self.close(1013)
            if self._code is None:
                self._sending = None  # the next frame makes another task: nothing waits from the last look on
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._websocket.close(self._code)
        if self._reading is not None:
            self._reading.reschedule(0)

    # ------------------------------------------------------------ in

    async def run(self) -> None:
        """Read until the line is cut or somebody closes the socket."""
        loop = asyncio.get_running_loop()
        left = (self.session.expires - datetime.now(UTC)).total_seconds()
        timers = [loop.call_later(max(0, left), self.close, 4401), loop.call_later(HELLO_WITHIN, self._late)]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as self._reading:
                    self._wake()  # what was put there before the socket was accepted
                    await self._read()
            self._reading = None
            if self._sending is not None:  # what ends the socket may still be on its way
                await asyncio.wait((self._sending,), timeout=SEND_WITHIN)
        finally:
            self._reading = None
            self.close(1000)
            for timer in timers:
                timer.cancel()
            for conversation in tuple(self._shown):
                self._hub.unsubscribe(conversation, self.listen)
            if self._sending is not None:
                self._sending.cancel()
                await asyncio.gather(self._sending, return_exceptions=True)

    def _late(self) -> None:
        if not self._greeted:
            self.close(1008)

    async def _read(self) -> None:
        while self._code is None:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                self.close(1000)
            elif event.get("text") is None:
                self.close(1003)
            else:
                await self._take(event["text"])

    async def _take(self, text: str) -> None:
        self.unanswered = 0
        frame: Sent | None = None
        try:
            frame = RECEIVED.validate_json(text)
            if not self._greeted:
                self._greet(frame)
            elif not isinstance(frame, protocol.Pong):
                self._check_rate()
                await self._act_whole(frame)
        except (ValidationError, RecursionError):
            self._refuse("bad_frame", "the frame does not fit the protocol", None)
        except RefusedError as refused:
            self._refuse(refused.code, str(refused), getattr(frame, "id", None))
        except Exception as error:  # a fault of ours ends this socket and no other; the log has no content
            logs.line(logging.ERROR, event="failed", id=secrets.token_hex(8), **logs.error_fields(error))
            self.close(1011)

    def _greet(self, frame: Sent) -> None:
        if not isinstance(frame, protocol.Hello) or frame.version != protocol.VERSION:
            self.close(1008)
            return
        self._greeted = True
        account = self.session.account
        self.listen(protocol.Welcome(user=account.name, expires=self.session.expires, ping=self._ping))

    def _check_rate(self) -> None:
        if wait := self._limiter.take(self.session.account.id):
            raise RefusedError("too_fast", f"too many frames: come back in {wait} s")

    def _refuse(self, code: protocol.Code, detail: str, identity: str | None) -> None:
        self.listen(protocol.ErrorFrame(code=code, detail=detail, id=identity))
        if code in ("bad_frame", "too_fast"):
            self._mistakes += 1
            if self._mistakes >= MISTAKES or not self._greeted:
                self.close(1008)

    async def _act_whole(self, frame: Sent) -> None:
        """What a frame asks is done to its end, though the line is cut meanwhile: half of it would be in the store."""
        acting = asyncio.ensure_future(self._act(frame))
        _ACTING.add(acting)
        acting.add_done_callback(_ACTING.discard)
        await asyncio.shield(acting)

    async def _act(self, frame: Sent) -> None:
        user, hub = self.session.account.id, self._hub
        match frame:
            case protocol.Subscribe(conversation=conversation, after=after):
                if len(self._shown | {conversation}) > MOST_SHOWN:
                    raise RefusedError("full", f"a page shows at most {MOST_SHOWN} conversations")
                await hub.subscribe(user, conversation, after, self.listen)
                self._shown.add(conversation)
                if self._code is not None:  # the line was cut meanwhile
                    hub.unsubscribe(conversation, self.listen)
            case protocol.Unsubscribe(conversation=conversation):
                hub.unsubscribe(conversation, self.listen)
                self._shown.discard(conversation)
            case protocol.Message():
                await hub.message(user, frame.conversation, frame.id, frame.text)
            case protocol.Edit():
                await hub.edit(user, frame.conversation, frame.id, frame.message, frame.text)
            case protocol.Regenerate():
                await hub.regenerate(user, frame.conversation, frame.id)
            case protocol.Stop():
                await hub.stop(user, frame.conversation)
            case protocol.Typing(conversation=conversation):
                self._pass_typing(conversation)
            case _:
                raise RefusedError("bad_frame", "hello was said")

    def _pass_typing(self, conversation: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._typed >= TYPING_EVERY:
            self._typed = now
            self._hub.typing(self.session.account.name, conversation, self.listen)


class Connections:
    """All sockets of this process.

    Args:
        hub: Conversations.
        most: Sockets, and sockets of one user.
        ping: Seconds between two pings.
        frames: Frames a second that a user may keep up.
    """

    def __init__(
        self, hub: Hub | Relay, *, most: tuple[int, int] = (5000, 20), ping: float = 20.0, frames: float = 20.0
    ) -> None:
        self._hub, self._most, self._ping = hub, most, ping
        self._limiter = Limiter(rate=frames, burst=int(5 * frames))
        self._of_user: dict[str, set[Connection]] = defaultdict(set)

    def __len__(self) -> int:
        return sum(map(len, self._of_user.values()))

    def __iter__(self) -> Iterator[Connection]:
        return (connection for each in tuple(self._of_user.values()) for connection in tuple(each))

    async def serve(self, websocket: WebSocket, session: Session | None) -> None:
        """Speak with a page from the handshake on, until one side ends it."""
        if session is None:
            await websocket.accept(subprotocol=protocol.SUBPROTOCOL)  # a script cannot see why a handshake failed
            await websocket.close(4401)
            return
        user = session.account.id
        if len(self) >= self._most[0] or len(self._of_user.get(user, ())) >= self._most[1]:
            await websocket.accept(subprotocol=protocol.SUBPROTOCOL)
            await websocket.close(1013)
            return
        connection = Connection(websocket, session, self._hub, self._limiter, self._ping)
        self._of_user[user].add(connection)
        try:
            await websocket.accept(subprotocol=protocol.SUBPROTOCOL)
            await connection.run()
        finally:
            self._of_user[user].discard(connection)
            if not self._of_user[user]:
                del self._of_user[user]

    def sessions(self) -> set[str]:
        """Digests of the sessions that have a socket."""
        return {connection.session.digest for connection in self}

    def close_sessions(self, digests: set[str], code: int = 4401) -> None:
        """End every socket of these sessions."""
        for connection in self:
            if connection.session.digest in digests:
                connection.close(code)

    def tell(self, user: str, frame: Shown) -> None:
        """Let every page of a user have a frame, whatever it shows."""
        for connection in tuple(self._of_user.get(user, ())):
            connection.listen(frame)

    def close_user(self, user: str) -> None:
        """End every socket of a user."""
        for connection in tuple(self._of_user.get(user, ())):
            connection.close(4401)

    def ping(self) -> None:
        """Ask everybody whether the line is alive; who did not answer twice is disconnected."""
        for connection in self:
            if connection.unanswered >= 2:
                connection.close(4408)
            else:
                connection.unanswered += 1
                connection.listen(protocol.Ping())
