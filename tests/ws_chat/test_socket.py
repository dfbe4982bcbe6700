"""Conversations over the WebSocket: one's own, taken once, whole after a cut, told to every page."""

import asyncio
import random

import pytest

from projects.ws_chat.server import connections
from tests.ws_chat.memory import WORDS, Page, shown
from tests.ws_chat.people import run
from tests.ws_chat.serving import conversation, heard, say


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
