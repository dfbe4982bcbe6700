"""What replicas send each other: each has a stream in Redis, in which all that is for it lies in order."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import UserError
from shared.web import logs

PREFIX = "ws_chat:"
KEPT = 20_000  # entries of a stream; a replica that falls further behind lets its pages find the gap
BATCH = 200


class Wires:
    """The streams of one replica.

    Args:
        url: Where Redis is.
        identity: The replica's name.
        pause: Seconds before another try when Redis fails.

    Raises:
        UserError: If it is no URL of Redis.
    """

    def __init__(self, url: str, identity: str, *, pause: float) -> None:
        self.identity, self.pause = identity, pause
        try:
            self.redis: Any = Redis.from_url(url, decode_responses=True)  # its own types do not know decoded answers
        except ValueError:
            raise UserError("the URL of Redis looks like redis://127.0.0.1:6379 or unix:///run/redis.sock") from None
        self._outbox: asyncio.Queue[tuple[str, dict[str, str]]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def check(self) -> None:
        """Ask Redis for an answer, and let go of it.

        Raises:
            UserError: If there is none.
        """
        try:
            await self.redis.ping()
        except (RedisError, OSError) as error:
            raise UserError(f"Redis cannot be used: {type(error).__name__}") from None
        finally:
            await self.redis.aclose()

    async def start(self, take: Callable[[dict[str, str]], None]) -> None:
        """Give `take` everything that is sent to this replica, and to all, from now on."""
        latest = await self.redis.xrevrange(f"{PREFIX}to:all", count=1)
        places = {f"{PREFIX}to:{self.identity}": "0-0", f"{PREFIX}to:all": latest[0][0] if latest else "0-0"}
        self._tasks = [asyncio.create_task(self._read(places, take)), asyncio.create_task(self._write())]

    def send(self, to: str, **entry: str) -> None:
        """Send to a replica, or to all; it is on its way in this order."""
        self._outbox.put_nowait((f"{PREFIX}to:{to}", {"from": self.identity, **entry}))

    async def flush(self) -> None:
        """Wait until all is sent."""
        await self._outbox.join()

    async def keep(self, milliseconds: int) -> None:
        """Let the stream of a replica that is gone be forgotten after a while."""
        await self.redis.pexpire(f"{PREFIX}to:{self.identity}", milliseconds)

    async def close(self) -> None:
        """Let go of Redis."""
        self._closed = True  # redis-py may swallow a cancellation that comes while it waits for an answer
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.redis.aclose()

    async def failed(self, error: Exception) -> None:
        """Say so, and wait a little."""
        logs.line(logging.ERROR, event="replica failed", **logs.error_fields(error))
        await asyncio.sleep(self.pause)

    async def _read(self, places: dict[str, str], take: Callable[[dict[str, str]], None]) -> None:
        while not self._closed:
            try:
                for stream, entries in await self.redis.xread(dict(places), count=BATCH, block=1000) or []:
                    for place, entry in entries:
                        places[stream] = place
                        self._hand_over(entry, take)
            except (RedisError, OSError) as error:
                await self.failed(error)

    def _hand_over(self, entry: dict[str, str], take: Callable[[dict[str, str]], None]) -> None:
        try:
            take(entry)
        except Exception as error:  # one entry that nobody understands must not make a replica deaf
            logs.line(logging.ERROR, event="entry failed", **logs.error_fields(error))

    async def _write(self) -> None:
        while not self._closed:
            batch = [await self._outbox.get()]
            while len(batch) < BATCH and not self._outbox.empty():
                batch.append(self._outbox.get_nowait())
            while not await self._sent(batch) and not self._closed:
                pass
            for _ in batch:
                self._outbox.task_done()

    async def _sent(self, batch: list[tuple[str, dict[str, str]]]) -> bool:
        """Whether a batch is in Redis; what is there twice is no harm: numbers and ids say what was there."""
        try:
            async with self.redis.pipeline(transaction=False) as pipe:
                for stream, entry in batch:
                    pipe.xadd(stream, entry, maxlen=KEPT, approximate=True)
                await pipe.execute()
        except (RedisError, OSError) as error:
            await self.failed(error)
            return False
        return True
