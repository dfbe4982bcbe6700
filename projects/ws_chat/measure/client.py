"""A page without a browser: joins with an invitation, speaks the protocol, and keeps what it would show."""

import json
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from projects.ws_chat.protocol import SUBPROTOCOL
from shared.errors import UserError
from shared.web import launch

PASSWORD = "a password for measuring"  # noqa: S105  (of accounts in a database that is thrown away)
running = partial(launch.running, "projects.ws_chat.server", "WS_CHAT_")
"""`running(options, core=None)`: the server in a process of its own, see `shared.web.launch.running`."""


def invitation_of(log: str) -> str:
    """The first administrator's code, from what a server wrote to standard error."""
    found = re.search(r"/login#(\S+)", log)
    if found is None:
        raise UserError("the server printed no invitation: its database has accounts already")
    return found.group(1)


@dataclass
class Person:
    """Somebody who is logged in at an address."""

    address: str
    http: httpx.Client

    def conversation(self) -> str:
        """A new conversation."""
        return str(self.http.post("/api/conversations").raise_for_status().json()["id"])

    def stored(self, conversation: str) -> list[dict[str, Any]]:
        """What the server has stored of a conversation."""
        return list(self.http.get(f"/api/conversations/{conversation}/export").raise_for_status().json()["messages"])

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[ClientConnection]:
        """A socket that was welcomed."""
        cookie = {"Cookie": "; ".join(f"{each.name}={each.value}" for each in self.http.cookies.jar)}
        more = {"ssl": unverified()} if self.address.startswith("https") else {}
        opening = connect(
            self.address.replace("http", "ws", 1) + "/ws",
            origin=self.address,  # type: ignore[arg-type]
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers=cookie,
            compression=None,
            max_queue=None,
            max_size=2**24,
            ping_interval=None,
            open_timeout=60,
            **more,  # type: ignore[arg-type]
        )
        async with opening as socket:
            await say(socket, type="hello", version=1)
            await heard(socket, "welcome")
            yield socket


@contextmanager
def people(address: str, code: str, count: int = 1) -> Iterator[list[Person]]:
    """So many accounts; the first is the administrator who invites the others."""
    made = [_joined(address, code)]
    try:
        for _ in range(count - 1):
            answer = made[0].http.post("/api/invitations", json={}).raise_for_status()
            made.append(_joined(address, answer.json()["code"]))
        yield made
    finally:
        for each in made:
            each.http.close()


@contextmanager
def alone(options: Mapping[str, object]) -> Iterator[tuple[launch.Running, Person]]:
    """A server with a database of its own, which is thrown away, and its only account."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        server = stack.enter_context(running({**options, "data": folder}))
        (person,) = stack.enter_context(people(server.url, invitation_of(server.said())))
        yield server, person


def _joined(address: str, code: str) -> Person:
    http = httpx.Client(base_url=address, headers={"Origin": address}, timeout=30, verify=unverified())
    body = {"invitation": code, "name": f"p{secrets.token_hex(6)}", "password": PASSWORD}
    http.post("/api/register", json=body).raise_for_status()
    return Person(address, http)


def unverified() -> ssl.SSLContext:
    """For a certificate that this program has just had made, on this machine."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def say(socket: ClientConnection, **frame: Any) -> None:
    """Send a frame."""
    await socket.send(json.dumps(frame))


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """The next frame of a kind; pings are answered on the way."""
    while True:
        frame = json.loads(await socket.recv())
        if frame["type"] == "ping":
            await say(socket, type="pong")
        if frame["type"] == kind:
            return dict(frame)


@dataclass
class Shown:
    """What a page shows, checked as it comes.

    Attributes:
        known: Whether anything of the conversation has come.
        faults: Numbers that came out of order, twice or with a gap, and texts that changed when they were stored.
    """

    seq: int = 0
    known: bool = False
    messages: dict[str, str] = field(default_factory=dict)
    writing: str = ""
    faults: int = 0
    done: int = 0

    def take(self, frame: dict[str, Any]) -> None:
        """Show a frame."""
        if frame["type"] == "snapshot":
            self.seq, self.known = frame["seq"], True
            self.messages = {each["id"]: each["text"] for each in frame["messages"]}
            self.writing = frame["writing"]["text"] if frame["writing"] else ""
            self.done = sum(each["role"] == "assistant" for each in frame["messages"])
            return
        if "seq" not in frame:
            return
        self.faults += frame["seq"] != self.seq + 1
        self.seq = frame["seq"]
        if frame["type"] == "message":
            self.messages[frame["message"]["id"]] = frame["message"]["text"]
        elif frame["type"] == "started":
            self.writing = ""
        elif frame["type"] == "token":
            self.writing += frame["text"]
        elif frame["type"] == "done":
            self.faults += frame["message"] is not None and frame["message"]["text"] != self.writing
            self.messages[frame["answer"]], self.writing = self.writing, ""
            self.done += 1
