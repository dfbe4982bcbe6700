"""The WebSocket as it is served: who may open one, what ends it, and that nothing is lost when it is cut."""

import asyncio
import json
import random
import socket as sockets
import struct
from datetime import UTC, datetime, timedelta

import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import InvalidHandshake, InvalidStatus

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from projects.ws_chat.protocol import LARGEST_FRAME
from projects.ws_chat.server import connections
from projects.ws_chat.store.accounts import Account, Session
from shared.web.limits import Limiter
from tests.ws_chat import virtual
from tests.ws_chat.gated import Gated
from tests.ws_chat.memory import Memory, Page
from tests.ws_chat.people import PASSWORD
from tests.ws_chat.serving import closed, conversation, heard, say, served

WORDS = " ".join(f"w{number}" for number in range(60))


def run(test):
    asyncio.run(asyncio.wait_for(test, 60))


async def refused(opening):
    """The status with which a handshake ends."""
    with pytest.raises(InvalidStatus) as found:
        async with opening:
            pass
    return found.value.response.status_code


# ---------------------------------------------------------------- who comes in


@pytest.mark.parametrize("odd", [None, "null", "http://evil.example", "suffix", "case", "https"])
def test_a_page_of_others_opens_no_socket(server, odd):
    own = server.origin
    origin = {"suffix": own + ".evil.example", "case": own.upper(), "https": own.replace("http", "https")}.get(odd, odd)
    assert asyncio.run(refused(server.socket(server.person(), origin=origin))) == 403


def test_two_origins_are_none(server):
    client = server.person()
    cookie = f"ws_chat={client.cookies['ws_chat']}"
    more = [("Cookie", cookie), ("Origin", "http://evil.example")]
    assert asyncio.run(refused(server.socket(client, additional_headers=more))) in (400, 403)


def test_no_token_is_taken_from_an_address(server):
    client = server.person()
    token = client.cookies["ws_chat"]

    async def test():
        assert await refused(server.socket(client, query=f"?token={token}")) == 403

    run(test())


def test_another_subprotocol_is_refused(server):
    async def test():
        assert await refused(server.socket(server.person(), subprotocols=["ws-chat.v9"])) == 403
        with pytest.raises(InvalidHandshake):
            async with server.socket(server.person(), subprotocols=None):
                pass

    run(test())


@pytest.mark.parametrize("cookie", ["", "ws_chat=made-up", "ws_chat=" + "x" * 3000])
def test_without_a_session_the_page_learns_that_it_must_log_in(server, cookie):
    async def test():
        async with server.socket(server.stranger(), additional_headers={"Cookie": cookie}) as socket:
            assert await closed(socket) == 4401

    run(test())


# ---------------------------------------------------------------- what ends it


@pytest.mark.parametrize(
    "first",
    [
        {"type": "hello", "version": 2},
        {"type": "hello", "version": "1"},
        {"type": "hello"},
        {"type": "pong"},
        {"type": "stop", "conversation": "conversation-1"},
        [],
        None,
    ],
)
def test_whoever_does_not_say_hello_first_is_sent_away(server, first):
    async def test():
        async with server.socket(server.person()) as socket:
            await socket.send(json.dumps(first))
            assert await closed(socket) == 1008

    run(test())


def frame(opcode, payload):
    """A frame as a client sends it, masked with zeros; whatever is in it."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else struct.pack("!BQ", 0xFF, length)
    return bytes([0x80 | opcode]) + size + b"\0\0\0\0" + payload


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [
        (2, b"binary", 1003),
        (1, b"\xff\xfe", 1007),
        (1, b'{"type":"typing","conversation":"' + b"x" * LARGEST_FRAME + b'"}', 1009),
        (1, b" " * 2**20, 1009),
        (3, b"", 1002),
    ],
)
def test_frames_that_are_none_end_the_socket(server, opcode, payload, code):
    async def test():
        async with server.talking(server.person()) as socket:
            socket.transport.write(frame(opcode, payload))
            assert await closed(socket) == code

    run(test())


def test_a_frame_of_the_largest_size_is_read(server):
    async def test():
        client = server.person()
        one = conversation(client)
        async with server.talking(client) as socket:
            for text, code in (("x" * 16_000, "too_long"), ("x" * 16_001, "bad_frame")):
                text = text.replace("xx", "x ") if code == "too_long" else text  # many words
                await say(socket, type="message", conversation=one, id="message-1", text=text)
                assert (await heard(socket, "error"))["code"] == code

    run(test())


BAD = [
    "",
    "x",
    "{",
    "[" * 5000,
    "1e999",
    '{"type":"message"}',
    '{"type":"subscribe","conversation":"conversation-1","after":-1}',
    '{"type":"subscribe","conversation":"conversation-1","after":1.5}',
    '{"type":"subscribe","conversation":"../../etc","after":0}',
    '{"type":"stop","conversation":"conversation-1","more":1}',
    '{"type":"hello","version":1}',
    '{"type":"typing","conversation":"\\ud800xxxxxxxx"}',
    '{"type":"message","conversation":"conversation-1","id":"message-1","text":""}',
    '{"type":"message","conversation":"conversation-1","id":"message-1","text":"\\u0000"}',
]


def test_what_does_not_fit_the_protocol_is_answered_and_changes_nothing(server):
    async def test():
        async with server.talking(server.person()) as socket:
            for text in BAD:
                await socket.send(text)
                answer = await heard(socket, "error")
                assert answer["code"] == "bad_frame", text

    run(test())


def test_who_goes_on_with_it_is_sent_away(server):
    async def test():
        async with server.talking(server.person()) as socket:
            for _ in range(connections.MISTAKES):
                await socket.send("x")
            assert await closed(socket) == 1008

    run(test())


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


# ---------------------------------------------------------------- conversations over it


def shown(page, text):
    """Give a page a frame as it came."""
    from projects.ws_chat.protocol import NUMBERED, Snapshot

    frame = json.loads(text)
    if frame["type"] == "snapshot":
        page(Snapshot.model_validate_json(text))
    elif "seq" in frame:
        page(NUMBERED.validate_json(text))


def test_an_id_of_somebody_elses_conversation_is_unknown_in_every_frame(server):
    async def test():
        ana, bob = server.person(), server.person()
        one = conversation(ana)
        async with server.talking(ana) as hers, server.talking(bob) as socket:
            await say(hers, type="subscribe", conversation=one, after=0)
            await heard(hers, "snapshot")
            for kind, more in (
                ("subscribe", {"after": 0}),
                ("message", {"id": "message-1", "text": "hello"}),
                ("edit", {"id": "message-1", "message": "message-0", "text": "hello"}),
                ("regenerate", {"id": "message-1"}),
                ("stop", {}),
            ):
                await say(socket, type=kind, conversation=one, **more)
                assert (await heard(socket))["code"] == "unknown_conversation", kind
            await say(socket, type="typing", conversation=one)
            await say(socket, type="unsubscribe", conversation=one)
            await say(hers, type="message", conversation=one, id="message-1", text="hi")
            assert (await heard(hers))["type"] in ("message", "waiting")
            await heard(hers, "done")
            await say(socket, type="pong")
            await socket.send("x")
            assert (await heard(socket))["code"] == "bad_frame"  # nothing else came

    run(test())


def test_a_message_that_is_sent_again_is_taken_once(server):
    async def test():
        client = server.person()
        one = conversation(client)
        for _ in range(3):  # a page that is cut before it hears anything, and sends it again
            async with server.talking(client) as socket:
                await say(socket, type="message", conversation=one, id="message-1", text="hello you")
        async with server.talking(client) as socket:
            await say(socket, type="subscribe", conversation=one, after=0)
            frame = await heard(socket, "snapshot")
            while frame["writing"] or len(frame["messages"]) < 2:
                await say(socket, type="subscribe", conversation=one, after=0)
                frame = await heard(socket, "snapshot")
        exported = client.get(f"/api/conversations/{one}/export").json()["messages"]
        assert [each["text"] for each in exported] == ["hello you", "hello you"]

    run(test())


@pytest.mark.parametrize("seed", range(5))
def test_a_socket_that_is_cut_at_random_loses_nothing(server, seed):
    """What a page shows that was cut at random points equals what one shows that was never cut."""

    async def test():
        source = random.Random(seed)
        client = server.person()
        one = conversation(client)
        cut, cuts = Page(), 0
        async with server.talking(client) as steady_socket:
            steady = Page()
            await say(steady_socket, type="subscribe", conversation=one, after=0)
            async with server.talking(client) as socket:
                await say(socket, type="subscribe", conversation=one, after=0)
                await say(steady_socket, type="message", conversation=one, id="message-1", text=WORDS)
                while not cut.seq:  # from here on it gets events, and no snapshot of them all
                    shown(cut, await socket.recv())
            while not steady.done.is_set() or cut.seq < steady.seq:
                async with server.talking(client) as socket:
                    await say(socket, type="subscribe", conversation=one, after=cut.seq)
                    for _ in range(source.randrange(1, 12)):
                        try:
                            shown(cut, await asyncio.wait_for(socket.recv(), 0.2))
                        except TimeoutError:
                            break
                    socket.transport.abort()  # no closing handshake: as when a phone leaves a cell
                    cuts += 1
                while not steady.done.is_set():
                    try:
                        shown(steady, await asyncio.wait_for(steady_socket.recv(), 0.001))
                    except TimeoutError:
                        break
            assert (cut.seq, cut.messages, cut.writing) == (steady.seq, steady.messages, {}) and cuts > 3

    run(test())


def test_there_is_an_end_to_what_one_socket_shows(server, monkeypatch):
    monkeypatch.setattr(connections, "MOST_SHOWN", 2)

    async def test():
        client = server.person()
        all_of = [conversation(client) for _ in range(3)]
        async with server.talking(client) as socket:
            for one in (*all_of[:2], all_of[0]):
                await say(socket, type="subscribe", conversation=one, after=0)
                await heard(socket, "snapshot")
            await say(socket, type="subscribe", conversation=all_of[2], after=0)
            assert (await heard(socket, "error"))["code"] == "full"
            await say(socket, type="unsubscribe", conversation=all_of[0])
            await say(socket, type="subscribe", conversation=all_of[2], after=0)
            await heard(socket, "snapshot")

    run(test())


def test_pages_of_one_conversation_see_each_other_write_and_others_do_not(server, monkeypatch):
    monkeypatch.setattr(connections, "TYPING_EVERY", 3600)

    async def test():
        client = server.person("types")
        one, two = conversation(client), conversation(client)
        async with server.talking(client) as first, server.talking(client) as second, server.talking(client) as third:
            for socket, which in ((first, one), (second, one), (third, two)):
                await say(socket, type="subscribe", conversation=which, after=0)
                await heard(socket, "snapshot")
            for _ in range(5):
                await say(first, type="typing", conversation=one)
            assert (await heard(second, "typing"))["user"] == "types"
            for socket in (first, second, third):  # one a second is passed on, to nobody else
                await socket.send("x")
                assert (await heard(socket))["type"] == "error"

    run(test())


def test_a_title_that_changes_and_a_conversation_that_goes_are_told_to_every_page(server):
    async def test():
        client, bob = server.person(), server.person()
        one = conversation(client)
        async with server.talking(client) as socket, server.talking(bob) as other:
            await asyncio.to_thread(client.patch, f"/api/conversations/{one}", json={"title": "x"})
            assert await heard(socket) == {"type": "changed", "conversation": one}
            await asyncio.to_thread(client.delete, f"/api/conversations/{one}")
            assert await heard(socket) == {"type": "changed", "conversation": one}
            await other.send("x")
            assert (await heard(other))["type"] == "error"

    run(test())
