"""What ends a WebSocket: its session, silence, haste, one that never reads, one that comes drop by drop."""

import asyncio
import socket as sockets
from datetime import UTC, datetime, timedelta

import pytest
from starlette.websockets import WebSocket

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.server import connections
from projects.ws_chat.store.accounts import Account, Session
from shared.web.limits import Limiter
from tests.ws_chat import virtual
from tests.ws_chat.gated import Gated
from tests.ws_chat.memory import Memory
from tests.ws_chat.people import PASSWORD, run
from tests.ws_chat.serving import closed, conversation, heard, say, served


def test_who_is_too_fast_is_told_so(tmp_path):
    async def test():
        async with server.talking(server.person()) as socket:
            for _ in range(10):
                await say(socket, type="typing", conversation="conversation-1")
            answer = await heard(socket, "error")
            assert answer["code"] == "too_fast" and "come back in" in answer["detail"]

    with served(tmp_path, frames=0.2) as server:
        run(test())


def test_logout_ends_every_socket_of_the_session_and_no_other(server):
    async def test():
        client = server.person("logs-out")
        other = server.stranger()
        other.post("/api/login", json={"name": "logs-out", "password": PASSWORD})
        async with server.talking(client) as first, server.talking(client) as second, server.talking(other) as third:
            await asyncio.to_thread(client.post, "/api/logout")
            assert [await closed(first), await closed(second)] == [4401, 4401]
            await say(third, type="typing", conversation="conversation-1")
            await say(third, type="nothing")
            assert (await heard(third))["type"] == "error"

    run(test())


def test_another_password_ends_the_sockets_of_every_other_session(server):
    async def test():
        client, other = server.person("new-password"), server.stranger()
        other.post("/api/login", json={"name": "new-password", "password": PASSWORD})
        async with server.talking(client) as here, server.talking(other) as there:
            change = {"password": PASSWORD, "new": "staple correct horse"}
            answer = await asyncio.to_thread(client.post, "/api/account/password", json=change)
            assert answer.status_code == 204 and await closed(there) == 4401
            await here.send("x")
            assert (await heard(here))["type"] == "error"

    run(test())


def test_a_session_that_another_process_ended_is_noticed(server):
    async def test():
        client = server.person()
        async with server.talking(client) as socket:
            accounts = server.chat.accounts
            ended = accounts.session(client.cookies["ws_chat"])
            session = await asyncio.to_thread(server.ask, ended)
            await asyncio.to_thread(server.ask, accounts.end(session.digest))
            await asyncio.to_thread(server.ask, server.chat.check_sessions())
            assert await closed(socket) == 4401

    run(test())


def silent():
    """A socket on which nothing comes after its handshake, and all that is sent on it."""
    coming, sent = [{"type": "websocket.connect"}], []

    async def receive():
        while not coming:
            await asyncio.Event().wait()
        return coming.pop()

    async def send(event):
        sent.append(event)

    return WebSocket({"type": "websocket", "headers": []}, receive, send), sent


@pytest.mark.parametrize(("greeted", "code"), [(True, 4401), (False, 1008)])
def test_a_session_ends_on_open_sockets_too_and_who_says_nothing_has_no_hour(greeted, code):
    async def test():
        (socket, sent), hub = silent(), Hub(Memory(), Scripted(), Rules(()))
        session = Session("digest", Account("id", "ana", admin=False), datetime.now(UTC) + timedelta(hours=1))
        await socket.accept()
        connection = connections.Connection(socket, session, hub, Limiter(1, 1), 20.0)
        running = asyncio.create_task(connection.run())
        if greeted:
            await connection._take('{"type":"hello","version":1}')
        await running
        assert sent[-1]["code"] == code
        lasted = asyncio.get_running_loop().time()
        assert 3590 < lasted < 3601 if greeted else lasted == connections.HELLO_WITHIN

    virtual.run(test(), 4000)


def test_a_deleted_account_has_no_sockets(server):
    async def test():
        client = server.person()
        async with server.talking(client) as socket:
            await asyncio.to_thread(client.post, "/api/account/delete", json={"password": PASSWORD})
            assert await closed(socket) == 4401

    run(test())


def test_who_answers_no_ping_is_disconnected_and_who_does_stays(server):
    async def test():
        silent, lively = server.person(), server.person()
        async with server.talking(silent) as mute, server.talking(lively) as socket:
            for _ in range(3):
                server.loop.call_soon_threadsafe(server.chat.connections.ping)
                await heard(socket, "ping")
                await say(socket, type="pong")
                await socket.send("x")
                assert (await heard(socket))["type"] == "error"  # by now the pong was taken
            assert await closed(mute) == 4408
            server.loop.call_soon_threadsafe(server.chat.connections.ping)
            assert (await heard(socket))["type"] == "ping"

    run(test())


def test_there_is_an_end_to_sockets(tmp_path):
    async def test():
        client = server.person()
        async with server.talking(client), server.talking(client), server.socket(client) as third:
            assert await closed(third) == 1013

    with served(tmp_path, sockets_of_one=2) as server:
        run(test())


def test_a_page_that_never_reads_is_sent_away_and_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "SEND_WITHIN", 0.3)
    large = Gated(script=lambda turns: ["x" * 20_000] * 400, budget=10**6)  # more than lies on the way

    async def test():
        client = server.person()
        one = conversation(client)
        async with server.talking(client) as reads, server.talking(client) as never:
            never.transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            never.transport.pause_reading()
            for socket in (never, reads):
                await say(socket, type="subscribe", conversation=one, after=0)
            await say(reads, type="message", conversation=one, id="message-1", text="go")
            for _ in range(40):  # so many at a time that who reads is never late
                large.allowed += 10
                for _ in range(10):
                    await heard(reads, "token")
            large.allowed += 1
            assert (await heard(reads, "done"))["reason"] == "end"
            while len(server.chat.connections) > 1:
                await asyncio.sleep(0.01)
            never.transport.abort()

    (tmp_path / "nothing.txt").touch()  # to look for phrases in 8 MB would take longer than all else
    with served(tmp_path, large, blocked=tmp_path / "nothing.txt") as server:
        run(test())


def test_a_request_that_comes_drop_by_drop_is_cut_off(tmp_path, monkeypatch):
    from projects.ws_chat.server import patience

    monkeypatch.setattr(patience, "REQUEST_WITHIN", 0.1)
    with served(tmp_path) as server:
        for sent in (
            b"",
            b"GET /health HTTP/1.1\r\nHost: x\r\n",
            b"POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
        ):
            with sockets.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
                slow.sendall(sent)
                with pytest.raises((ConnectionResetError, EOFError)):
                    while True:
                        if not slow.recv(4096):
                            raise EOFError
        monkeypatch.undo()
        assert server.stranger().get("/health").status_code == 200
