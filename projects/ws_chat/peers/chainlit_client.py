"""Pages of the Chainlit application: `python chainlit_client.py ADDRESS PROCESS SOCKETS TOKENS` prints JSON.

Run in Chainlit's own environment, which has the client of Socket.IO.
"""

import asyncio
import json
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Page:
    """One page: tokens with the time at which they came, and whole messages."""

    def __init__(self) -> None:
        import socketio  # in Chainlit's environment

        self.client = socketio.AsyncClient(reconnection=False)
        self.late: list[float] = []
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.client.on("stream_token", self._token)
        self.client.on("stream_start", lambda _: None)
        self.client.on("new_message", lambda step: self.said.put_nowait(step["output"]))

    def _token(self, event: dict[str, Any]) -> None:
        if event["token"].isdecimal():
            self.late.append((time.monotonic_ns() - int(event["token"])) / 1e9)

    async def open(self, address: str) -> None:
        """Connect as Chainlit's page does."""
        auth = {"sessionId": str(uuid.uuid4()), "clientType": "webapp", "userEnv": "{}", "chatProfile": None}
        auth["threadId"] = None
        where = {"socketio_path": "/ws/socket.io", "transports": ["websocket"], "auth": auth}
        await self.client.connect(address, **where)
        await self.client.emit("connection_successful")

    async def say(self, text: str) -> None:
        """Send a message."""
        now = datetime.now(UTC).isoformat()
        step = {"id": str(uuid.uuid4()), "threadId": "", "name": "user", "type": "user_message", "output": text}
        await self.client.emit("client_message", {"message": {**step, "createdAt": now}, "fileReferences": []})

    async def count(self) -> int:
        """Tokens that the model has computed."""
        await self.say("count")
        while not (text := await asyncio.wait_for(self.said.get(), 30)).isdecimal():
            pass
        return int(text)


async def stopped(address: str, how: str) -> int:
    """Tokens computed after Stop, of an answer that would have 100 more."""
    page, other = Page(), Page()
    await page.open(address)
    await other.open(address)
    await page.say(f"{how} 120")
    while len(page.late) < 20:
        await asyncio.sleep(0.005)
    before = await other.count()
    await page.client.emit("stop")
    await asyncio.sleep(0.05)
    at_stop = await other.count()
    await asyncio.sleep(7)
    after = await other.count()
    await page.client.disconnect()
    await other.client.disconnect()
    return after - min(at_stop, before + 3)


async def measure(address: str, process: str, sockets: int, tokens: int) -> dict[str, Any]:
    """Memory of idle connections, what is added to a token, tokens after Stop."""
    first = Page()
    await first.open(address)
    await first.say(f"await {tokens + 1}")  # the first comes with the event that begins the answer
    while len(first.late) < tokens:
        await asyncio.sleep(0.05)
    empty, pages = resident_kib(process), [Page() for _ in range(sockets)]
    for place in range(0, sockets, 20):
        await asyncio.gather(*(page.open(address) for page in pages[place : place + 20]))
    await asyncio.sleep(1)
    held = resident_kib(process)
    for page in pages:
        await page.client.disconnect()
    late = sorted(first.late)
    found = {"kib_a_socket": (held - empty) / sockets, "late_p50_ms": 1000 * late[len(late) // 2]}
    found["late_p99_ms"] = 1000 * late[int(0.99 * len(late))]
    await first.client.disconnect()
    return {**found, "await": await stopped(address, "await"), "thread": await stopped(address, "thread")}


def resident_kib(process: str) -> int:
    """Memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


if __name__ == "__main__":
    found = asyncio.run(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    sys.stdout.write(json.dumps(found) + "\n")
