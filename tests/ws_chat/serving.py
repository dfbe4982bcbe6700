"""The service as it is served, on a free port, in a thread; and a page that speaks the protocol."""

import asyncio
import itertools
import json
import re
import threading
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from websockets.asyncio.client import connect

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.protocol import SUBPROTOCOL
from projects.ws_chat.server.__main__ import options
from projects.ws_chat.server.app import create_app
from projects.ws_chat.server.settings import Settings
from shared.web.launch import listening
from tests.ws_chat.people import HASHER, PASSWORD

NUMBERS = itertools.count()


class Served:
    """A server in this process: its address, its application, and people."""

    def __init__(self, app, port):
        self.app, self.chat, self.port = app, app.state.chat, port
        self.url, self.origin = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}"
        self.loop, self.clients = None, []

    def ask(self, coroutine):
        """The result of a coroutine that runs in the server's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def stranger(self, **headers):
        """A client whom nobody knows."""
        client = httpx.Client(base_url=self.url, headers={"Origin": self.origin, **headers}, timeout=20)
        self.clients.append(client)
        return client

    def person(self, name="", *, admin=False):
        """A client who is logged in."""
        name = name or f"person-{next(NUMBERS)}"
        client = self.stranger()
        code = self.ask(self.chat.accounts.invite(admin=admin))
        answer = client.post("/api/register", json={"invitation": code, "name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return client

    def socket(self, client, query="", **more):
        """A WebSocket with a person's cookie, not yet greeted."""
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        given = {"origin": self.origin, "subprotocols": [SUBPROTOCOL], "additional_headers": {"Cookie": cookie}} | more
        given |= {"ping_interval": None, "compression": None, "max_size": 2**24, "max_queue": None}
        return connect(f"ws://127.0.0.1:{self.port}/ws{query}", **given)

    @asynccontextmanager
    async def talking(self, client, **more):
        """A socket that said hello and was welcomed."""
        async with self.socket(client, **more) as socket:
            await say(socket, type="hello", version=1)
            assert (await heard(socket))["type"] == "welcome"
            yield socket


@contextmanager
def served(folder, backend=None, **settings):
    """Serve as `python -m projects.ws_chat.server` does, with a quick hash."""
    chosen = Settings(**{"data": folder, "backend": "script", "port": 0, "rate": 1000.0, "logins": 500, **settings})
    app = create_app(backend or Scripted(seconds=0.001), chosen, HASHER)
    opened = listening("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="on", **options(chosen))
    server, found = uvicorn.Server(config), Served(app, opened.getsockname()[1])
    started = threading.Event()

    async def serve():
        found.loop = asyncio.get_running_loop()
        serving = asyncio.create_task(server.serve(sockets=[opened]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    found.server = server
    try:
        yield found
    finally:
        for client in found.clients:
            client.close()
        server.should_exit = True
        thread.join(30)
        opened.close()


async def say(socket, **frame):
    await socket.send(json.dumps(frame))


async def heard(socket, kind=None):
    """The next frame, or the next of a kind."""
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if kind is None or frame["type"] == kind:
            return frame


async def closed(socket):
    """The code with which the other side ends the socket, whatever it says before."""
    while True:
        try:
            await asyncio.wait_for(socket.recv(), 20)
        except TimeoutError:
            raise
        except Exception:
            return socket.close_code


def conversation(client):
    return client.post("/api/conversations").json()["id"]


def invitation_of(log):
    return re.search(r"/login#(\S+)", log).group(1)
