"""Connections cut at random points, without a closing handshake: does each page show in the end what was said?"""

import asyncio
import json
import random
import tempfile
from typing import Any

from projects.ws_chat.measure.client import Person, Shown, invitation_of, people, say
from projects.ws_chat.server.cluster import cluster
from projects.ws_chat.server.settings import PREFIX, Settings, as_variables
from shared.web.settings import from_environment

WORDS = " ".join(f"w{number}" for number in range(200))


def rows(cuts: int, *, pages: int = 20, seed: int = 0) -> list[dict[str, Any]]:
    """Cut so many connections to two replicas behind nginx, each page's at random points of its answers."""
    with tempfile.TemporaryDirectory() as folder:
        given = as_variables(
            ["--replicas", "2", "--port", "0", "--backend", "script", "--pace", "0.01", "--data", folder]
        )
        given |= as_variables(
            ["--at-once", str(pages), "--rate", "10000", "--frames", "10000", "--sockets-of-one", "1000"]
        )
        given |= as_variables(["--waiting-of-one", str(pages)])
        with cluster(from_environment(Settings, PREFIX, given), given) as (address, servers):
            code = next(invitation_of(each.said()) for each in servers if "/login#" in each.said())
            with people(address, code) as (person,):
                return [asyncio.run(_measure(person, cuts, pages, seed))]


async def _measure(person: Person, cuts: int, pages: int, seed: int) -> dict[str, Any]:
    conversations = [person.conversation() for _ in range(pages)]
    each = -(-cuts // pages)
    shown = await asyncio.gather(
        *(_page(person, one, each, random.Random(seed * pages + n)) for n, one in enumerate(conversations))
    )
    equal = 0
    for one, page in zip(conversations, shown, strict=True):
        stored = {message["id"]: message["text"] for message in person.stored(one)}
        equal += stored == page.messages and all(text == WORDS for text in stored.values())
    return {
        "replicas": 2,
        "cuts": each * pages,
        "pages": pages,
        "answers": sum(page.done for page in shown),
        "faults": sum(page.faults for page in shown),
        "transcripts_equal": equal,
    }


async def _page(person: Person, conversation: str, cuts: int, source: random.Random) -> Shown:
    page, asked = Shown(), 0
    while cuts or page.done < asked:
        async with person.socket() as socket:
            await say(socket, type="subscribe", conversation=conversation, after=page.seq)
            if page.done < asked:  # it may have been cut before it was read: sent twice, it is taken once
                await say(socket, type="message", conversation=conversation, id=f"message-{asked:04}", text=WORDS)
            last = source.randrange(1, 40) if cuts else 10**9
            while last and (cuts or page.done < asked or not asked):
                if page.done == asked and (cuts or not asked) and page.known:
                    asked += 1
                    await say(socket, type="message", conversation=conversation, id=f"message-{asked:04}", text=WORDS)
                frame = json.loads(await socket.recv())
                page.take(frame)
                last -= 1
                if frame["type"] == "ping":
                    await say(socket, type="pong")
            if cuts:
                socket.transport.abort()
                cuts -= 1
    return page
