"""Who may open a WebSocket, and what may come over it."""

import asyncio
import json
import struct

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus

from projects.ws_chat.protocol import LARGEST_FRAME
from projects.ws_chat.server import connections
from tests.ws_chat.people import run
from tests.ws_chat.serving import closed, conversation, heard, say


async def refused(opening):
    """The status with which a handshake ends."""
    with pytest.raises(InvalidStatus) as found:
        async with opening:
            pass
    return found.value.response.status_code


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
