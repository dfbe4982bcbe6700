"""A backend by its URL against a small server of ours that speaks OpenAI's chat protocol, well and badly."""

import asyncio
import json
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from projects.ws_chat.backends.backend import BackendError
from projects.ws_chat.backends.remote import Patience, RemoteBackend
from projects.ws_chat.context import Turn
from projects.ws_chat.hub import Hub
from projects.ws_chat.moderation import Rules
from shared.errors import UserError
from tests.ws_chat.memory import Memory, Page

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
TURNS = [Turn("user", "Hello?")]


def event(text=None, finish=None):
    delta = {} if text is None else {"content": text}
    return f"data: {json.dumps({'choices': [{'delta': delta, 'finish_reason': finish}]})}\n\n".encode()


def busy(status, *headers):
    lines = "".join(f"{each}\r\n" for each in headers)
    return f"HTTP/1.1 {status} Busy\r\nContent-Length: 0\r\n{lines}\r\n".encode()


WHOLE = OK + b": a remark\n\n" + event("") + event("one ") + event("two") + event(None, "stop") + b"data: [DONE]\n\n"


class Peer:
    """A server that sends what it was given, a list a connection; a coroutine function in it is waited for."""

    def __init__(self, *answers):
        self.answers, self.asked, self.left = list(answers), [], asyncio.Event()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(
            next(line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length"))
        )
        self.asked.append((head, json.loads(await reader.readexactly(length))))
        answer = self.answers.pop(0)
        with suppress(ConnectionError), closing(writer):  # who has read enough leaves
            for part in [answer] if isinstance(answer, bytes) else answer:
                if callable(part):
                    await part(reader)
                else:
                    writer.write(part)
                    await writer.drain()

    async def until_left(self, reader):
        """Say nothing until the client closes the line."""
        await reader.read()
        self.left.set()


@asynccontextmanager
async def speaking(*answers, **options):
    peer, slept = Peer(*answers), []

    async def sleep(seconds):
        slept.append(seconds)

    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    backend = RemoteBackend(f"http://127.0.0.1:{port}/v1", "small", key="sk-secret", sleep=sleep, **options)
    peer.slept = slept
    try:
        yield backend, peer
    finally:
        await backend.close()
        server.close()


def run(test):
    asyncio.run(asyncio.wait_for(test, 30))


async def text_of(backend):
    answer = backend.answer(TURNS)
    return "".join([piece async for piece in answer]), answer.finish


def test_it_asks_and_reads_as_the_protocol_says():
    async def test():
        async with speaking(WHOLE) as (backend, peer):
            assert await text_of(backend) == ("one two", "end") and backend.computed == 2
            head, body = peer.asked[0]
            assert head.startswith("POST /v1/chat/completions HTTP/1.1")
            assert "authorization: bearer sk-secret" in head.lower()
            assert body["model"] == "small" and body["stream"] is True and body["max_tokens"] == 512
            assert [each["role"] for each in body["messages"]] == ["system", "user"]
            assert body["messages"][1]["content"] == "Hello?"

    run(test())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_that_come_in_pieces_are_the_same(size):
    async def test():
        answer = OK + event("ñandú 🙂 ") + event("fin", "length") + b"data: [DONE]\n\n"
        parts = [OK] + [answer[len(OK) :][place : place + size] for place in range(0, len(answer) - len(OK), size)]
        async with speaking(parts) as (backend, _):
            assert await text_of(backend) == ("ñandú 🙂 fin", "length")

    run(test())


def test_a_busy_server_is_asked_again_when_it_says():
    async def test():
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=900), usegmt=True)
        refusals = [busy(429, "Retry-After: 7"), busy(503, f"Retry-After: {later}"), busy(502)]
        async with speaking(*refusals, WHOLE, patience=Patience(longest=1000.0)) as (backend, peer):
            assert await text_of(backend) == ("one two", "end")
            assert peer.slept[0] == 7 and 800 < peer.slept[1] <= 900 and peer.slept[2] == 4

    run(test())


@pytest.mark.parametrize(
    ("answers", "said", "asked"),
    [
        ([busy(429)] * 4, "answered 429", 4),
        ([busy(429, "Retry-After: 3600")], "answered 429", 1),
        ([busy(429, f"Retry-After: {'9' * 400}")], "answered 429", 1),
        ([busy(401)], "answered 401", 1),
        ([busy(500)], "answered 500", 1),
        ([busy(302, "Location: http://127.0.0.1:1/")], "answered 302", 1),
        ([OK + event("one ")], "broke off", 1),
        ([OK], "broke off", 1),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + event("one ")], "broke off", 1),
        ([b""], "cannot be reached", 1),
        ([b"nonsense\r\n\r\n"], "cannot be reached", 1),
        ([OK + b"data: {\n\n"], "cannot be read", 1),
        ([OK + b"data: []\n\n"], "cannot be read", 1),
        ([OK + b'data: {"choices":[{"delta":{"content":7}}]}\n\n'], "cannot be read", 1),
        ([OK + b"data: " + b"[" * 100_000 + b"\n\n"], "cannot be read", 1),
        ([OK + b'data: {"error":{"message":"sk-secret"}}\n\n'], "failed in the middle", 1),
        ([OK + b"data: " + b"x" * (2**20 + 1)], "without an end", 1),
    ],
)
def test_what_goes_wrong_is_said_without_what_the_server_said(answers, said, asked):
    async def test():
        async with speaking(*answers) as (backend, peer):
            with pytest.raises(BackendError, match=said) as found:
                await text_of(backend)
            assert len(peer.asked) == asked and "secret" not in str(found.value)

    run(test())


def test_what_came_before_a_cut_is_given():
    async def test():
        async with speaking(OK + event("one ") + event("two ")) as (backend, _):
            pieces = []
            with pytest.raises(BackendError, match="broke off"):
                async for piece in backend.answer(TURNS):
                    pieces.append(piece)
            assert pieces == ["one ", "two "]

    run(test())


def test_a_server_that_is_not_there_is_said():
    async def test():
        backend = RemoteBackend("http://127.0.0.1:1/v1", "small")
        with pytest.raises(BackendError, match="cannot be reached"):
            await text_of(backend)
        await backend.close()

    run(test())


@pytest.mark.parametrize(
    ("before", "short", "said"),
    [
        ([], {"first": 0.5}, "did not answer within 0.5 s"),
        ([OK], {"first": 1.0}, "first token"),  # within which the head of the answer comes
        ([OK, event("one ")], {"next": 0.05}, "next token"),
    ],
)
def test_a_server_that_falls_silent_is_left(before, short, said):
    async def test():
        peer = Peer()
        async with speaking([*before, lambda reader: peer.until_left(reader)], patience=Patience(**short)) as (
            backend,
            spoken,
        ):
            with pytest.raises(BackendError, match=said):
                await text_of(backend)
            if spoken.asked:  # else the machine was so busy that not even the request had come
                await asyncio.wait_for(peer.left.wait(), 10)  # the connection was closed

    run(test())


def test_events_without_text_are_no_tokens_that_one_could_wait_for_for_ever():
    async def empty(writer):
        with suppress(ConnectionError), closing(writer):
            while True:
                writer.write(event(""))
                await writer.drain()
                await asyncio.sleep(0.01)

    async def test():
        left = asyncio.Event()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await empty(writer)
            left.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        backend = RemoteBackend(url, "small", patience=Patience(first=0.3))
        with pytest.raises(BackendError, match=r"within 0\.3 s"):
            await text_of(backend)
        await backend.close()
        server.close()
        await left.wait()

    run(test())


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (event("word ") * 100, "word " * 8),
        (event("x" * 2**16) * 3, "x" * 2**17),
        (event("word ") * 8 + event(None, "stop") + b"data: [DONE]\n\n", "word " * 8),
    ],
)
def test_an_answer_is_not_longer_than_was_asked_for(sent, text):
    async def test():
        async with speaking(OK + sent, max_tokens=8) as (backend, _):
            said, finish = await text_of(backend)
            assert said == text and finish == ("end" if b"stop" in sent else "length")

    run(test())


def test_what_cannot_be_stored_is_left_out():
    async def test():
        async with speaking(OK + event("a\0b") + event("\ud83d") + event("c", "stop")) as (backend, _):
            said, _ = await text_of(backend)
            assert said == "ab?c" and said.encode()

    run(test())


@pytest.mark.parametrize("url", ["ftp://host/v1", "http://[::1", "http://", "http://host:port/v1", "host/v1"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UserError, match="must look like"):
        RemoteBackend(url, "small")


def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted():
    for key in ("llave-ñ", "two\nlines"):
        with pytest.raises(UserError) as found:
            RemoteBackend("http://127.0.0.1/v1", "small", key=key)
        assert key not in str(found.value)


def test_a_slow_first_token_is_waited_for():
    async def test():
        ready = asyncio.Event()

        async def slow(_):
            await ready.wait()

        async with speaking([OK, slow, WHOLE[len(OK) :]]) as (backend, _):
            asking = asyncio.create_task(text_of(backend))
            done, _ = await asyncio.wait((asking,), timeout=0.05)
            assert not done
            ready.set()
            assert await asking == ("one two", "end")

    run(test())


def test_stop_closes_the_connection_at_once_and_keeps_what_came():
    async def test():
        peer = Peer()
        async with speaking([OK, event("one "), lambda reader: peer.until_left(reader)]) as (backend, _):
            store = Memory("conversation-1")
            hub, page = Hub(store, backend, Rules(())), Page()
            await hub.subscribe("ana", "conversation-1", 0, page)
            await hub.message("ana", "conversation-1", "message-1", "Hello?")
            while not page.of("token"):
                await asyncio.sleep(0.001)
            await hub.stop("ana", "conversation-1")
            await page.done.wait()
            await asyncio.wait_for(peer.left.wait(), 10)
            assert page.of("done")[0].reason == "stopped" and store.kept["conversation-1"][1].text == "one "
            await hub.close()

    run(test())


def test_an_answer_that_is_cancelled_before_it_began_ends():
    async def test():
        async with speaking() as (backend, peer):
            answer = backend.answer(TURNS)
            answer.cancel()
            assert [piece async for piece in answer] == [] and peer.asked == []

    run(test())


def test_a_failed_answer_is_told_and_what_came_is_stored():
    async def test():
        async with speaking(OK + event("one ")) as (backend, _):
            store = Memory("conversation-1")
            hub, page = Hub(store, backend, Rules(())), Page()
            await hub.subscribe("ana", "conversation-1", 0, page)
            await hub.message("ana", "conversation-1", "message-1", "Hello?")
            await page.done.wait()
            assert page.of("done")[0].reason == "failed" and store.kept["conversation-1"][1].text == "one "
            await hub.close()

    run(test())


def test_the_estimate_grows_with_the_text_and_is_on_the_safe_side():
    backend = RemoteBackend("http://127.0.0.1:1/v1", "small")
    assert backend.count([Turn("user", "word " * 300)]) > 400  # some 300 tokens in truth
    assert backend.count([Turn("user", "🙂" * 30)]) >= 40
    assert backend.count(TURNS * 2) > backend.count(TURNS)
    asyncio.run(backend.close())
    with pytest.raises(UserError, match="must look like"):
        RemoteBackend("ftp://x", "small")
