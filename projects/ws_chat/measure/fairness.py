"""Open-loop load at twice the capacity, one user asking ten times as often as each of the others."""

import asyncio
import json
import random
import tempfile
from collections import Counter
from contextlib import ExitStack
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ws_chat.measure.client import Person, invitation_of, people, running, say

TOKENS, PACE, AT_ONCE = 10, 0.05, 2


def rows(
    seconds: float, *, users: int = 8, seeds: tuple[int, ...] = (0, 1, 2), places: tuple[int, ...] = (2, 4)
) -> list[dict[str, Any]]:
    """Ask for so many seconds, with so many places in the queue for each user, once a seed."""
    found = []
    for each in places:
        runs = [_run(seconds, users, seed, each) for seed in seeds]
        sums = {
            name: sum(run[name] for run in runs) for name in ("asked", "answered", "refused", "refused_saying_when")
        }
        greedy = sum(run["of_the_greedy"] * run["answered"] for run in runs) / sums["answered"]
        jain = [run["jain"] for run in runs]
        shown = {"of_the_greedy": greedy, "jain": sum(jain) / len(jain), "jain_least": min(jain)}
        found.append({"places": each, "users": users, "seeds": len(seeds), "seconds": seconds, **sums, **shown})
    return found


def _run(seconds: float, users: int, seed: int, places: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        options = {"backend": "clock", "pace": PACE, "at_once": AT_ONCE, "waiting": places * users, "data": folder}
        more = {"waiting_of_one": places, "rate": 10_000, "logins": 1000}
        server = stack.enter_context(running({**options, **more}))
        everybody = stack.enter_context(people(server.url, invitation_of(server.said()), users))
        return asyncio.run(_measure(everybody, seconds, random.Random(seed)))


async def _measure(users: list[Person], seconds: float, source: random.Random) -> dict[str, Any]:
    capacity = AT_ONCE / ((TOKENS + 1) * PACE)  # a wait before each token, and one before the end
    greedy = 10 / (len(users) + 9)  # of all requests
    shares = [greedy] + [(1 - greedy) / (len(users) - 1)] * (len(users) - 1)
    answered: Counter[int] = Counter()
    refusals: Counter[str] = Counter()
    conversations = [[each.conversation() for _ in range(60)] for each in users]  # all before anybody asks
    loads = [
        _ask(
            each,
            conversations[n],
            n,
            2 * capacity * shares[n],
            seconds,
            random.Random(source.random()),
            answered,
            refusals,
        )
        for n, each in enumerate(users)
    ]
    # Whoever asks for less than an equal share cannot have more: the index is over what each, asking at random times as
    # often as they did, could have had.
    asked = np.array(await asyncio.gather(*loads), dtype=float)
    served = np.array([answered[n] for n in range(len(users))], dtype=float)
    share = served / np.minimum(asked, max_min_share(asked, served.sum()))
    return {
        "asked": int(asked.sum()),
        "answered": int(served.sum()),
        "refused": sum(refusals.values()),
        "refused_saying_when": refusals["full"],
        "of_the_greedy": float(served[0] / served.sum()),
        "jain": float(share.sum() ** 2 / (len(share) * (share**2).sum())),
    }


def max_min_share(wanted: Float[np.ndarray, " users"], capacity: float) -> float:
    """The largest share s for which Σ min(wanted, s) is within the capacity (Bertsekas and Gallager 1992, §6.5.2)."""
    low, high = 0.0, float(wanted.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(wanted, middle).sum() <= capacity else (low, middle)
    return max(low, 1e-9)


async def _ask(
    person: Person,
    conversations: list[str],
    number: int,
    rate: float,
    seconds: float,
    source: random.Random,
    answered: Counter[int],
    refusals: Counter[str],
) -> int:
    """Ask at random times at a rate, each time in another conversation, whatever became of the ones before."""
    loop, asked, heard = asyncio.get_running_loop(), 0, asyncio.Semaphore(0)
    async with person.socket() as socket:
        for one in conversations:
            await say(socket, type="subscribe", conversation=one, after=0)

        async def listen() -> None:
            while True:
                frame = json.loads(await socket.recv())
                answered[number] += frame["type"] == "done"
                if frame["type"] == "error":
                    refusals[frame["code"]] += 1
                if frame["type"] in ("done", "error"):
                    heard.release()
                if frame["type"] == "ping":
                    await say(socket, type="pong")

        listening, end = asyncio.create_task(listen()), loop.time() + seconds
        while loop.time() < end:
            one = conversations[asked % len(conversations)]
            await say(socket, type="message", conversation=one, id=f"message-{asked:06}", text=str(TOKENS))
            asked += 1
            await asyncio.sleep(source.expovariate(rate))
        for _ in range(asked):  # what still waits is answered, too
            await heard.acquire()
        listening.cancel()
    return asked
