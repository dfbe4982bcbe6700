"""Points from a stream of Redis, shared by consumers of a group: none is lost, and none is judged twice.

Each series belongs to one shard (a stream of its own), and one consumer at a time judges a shard: it holds a lease, a
key that expires. State and position are written in one transaction of Redis, so that whoever takes over goes on
behind the last point that is in the state: points that were read by a consumer that died are read again, and judged
by the state as it was before them. The transaction also compares the position that it moves on from: sent twice, as
by a client that never heard whether it was done, it does nothing the second time. While Redis cannot be used the
consumer waits, and says so once; what it had judged and not kept is forgotten, and read again. Kafka has the same parts
(a partition a shard, offsets in the transaction); there is no broker here to test it with.
"""

import copy
import math
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from redis import AuthenticationError, Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from projects.ts_anomaly.data.reading import Row, read_number
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import as_line
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import Watch
from shared.errors import UserError

LEASE_MS = 3000
BATCH = 64
SECONDS = 10.0  # that Redis may take to answer
LONGEST_WAIT = 5.0  # seconds between two tries while Redis cannot be used
BEGINNING = b"0"  # the position before the first point
COMMIT = f"""
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
if (redis.call('get', KEYS[3]) or '{BEGINNING.decode()}') ~= ARGV[2] then return 0 end
redis.call('set', KEYS[2], ARGV[3])
redis.call('set', KEYS[3], ARGV[4])
for i = 5, #ARGV do redis.call('xadd', KEYS[4], '*', 'alert', ARGV[i]) end
return redis.call('pexpire', KEYS[1], {LEASE_MS})
"""
EXTEND = f"if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], {LEASE_MS}) end return 0"

GIVE_BACK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def connected(url: str) -> Redis:
    """A client that says at once when Redis does not answer; `Consumer` tries again.

    Raises:
        UserError: If the URL is none.
    """
    try:
        return Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise UserError(f"{url}: is no address of Redis ({error})") from None


def add(redis: Redis, shard: str, row: Row) -> None:
    """Append a point, as whoever measures it does; one that is added twice has the same time, and is judged once."""
    values: dict[Any, Any] = {
        f"v{n}": "nan" if math.isnan(value) else repr(value) for n, value in enumerate(row.values)
    }
    redis.xadd(f"points:{shard}", {"time": repr(row.time), **values})


class Consumer:
    """Judges the points of a shard while it holds the lease.

    Args:
        redis: Whose scripts and streams are used.
        shard: Name of the stream, `points:<shard>`.
        detector: Weights; scale and tails come with the state.
        fresh: The watch of a shard that nobody has judged yet.
    """

    def __init__(self, redis: Redis, shard: str, detector: PatchTransformer, fresh: Watch) -> None:
        self.redis, self.shard, self.detector, self.fresh = redis, shard, detector, fresh
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"  # who judges the shard can be looked up
        self._keys = [f"{kind}:{shard}" for kind in ("lease", "state", "position", "alerts")]
        self._commit = redis.register_script(COMMIT)

    def batches(self, *, wait_ms: int = 200) -> Iterator[int]:
        """Judge batch after batch; yields how many points each had, 0 where there is nothing, the lease is another's,
        or Redis cannot be used.

        Raises:
            UserError: If Redis refuses what is asked of it, or a point is none.
        """
        wait = 0.0
        while True:
            try:
                for count in self._batches(wait_ms):
                    if wait:
                        sys.stderr.write("Redis can be used again\n")
                        wait = 0.0
                    yield count
            except AuthenticationError as error:  # a connection error to the library, and not mended by waiting
                raise UserError(f"Redis refuses this consumer: {error}") from None
            except (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OutOfMemoryError) as error:
                if not wait:
                    said = " ".join(str(error).split())
                    sys.stderr.write(f"Redis cannot be used now ({said}): tried again until it can\n")
                wait = min(max(2 * wait, wait_ms / 1000, 0.05), LONGEST_WAIT)
                yield 0
                time.sleep(wait)
            except ResponseError as error:
                raise UserError(f"Redis refuses what shard {self.shard} needs: {error}") from None

    def _batches(self, wait_ms: int) -> Iterator[int]:
        """As `batches`, of a Redis that is there; what is not kept yet goes with whatever is raised."""
        watch: Watch | None = None
        position = BEGINNING
        while True:
            if not self._leased():
                watch = None
                time.sleep(wait_ms / 1000)
                yield 0
                continue
            if watch is None:
                watch, position = self._load()
            read: Any = self.redis.xread({f"points:{self.shard}": position}, count=BATCH, block=wait_ms)
            entries = read[0][1] if read else []
            lines: list[str] = []
            before = position
            for place, fields in entries:
                row = _row(fields)
                lines += [as_line(self.shard, alert) for alert in watch.push(row.time, row.values)[1]]
                position = place
            if entries and not self._keep(watch, before, position, lines):
                watch = None  # somebody else goes on, or it is kept already: what was judged here never was
            yield len(entries)

    def leave(self) -> None:
        """Give the lease back, so that another takes over at once; else it ends by itself, LEASE_MS later."""
        with suppress(RedisError):
            self.redis.eval(GIVE_BACK, 1, self._keys[0], self.name)

    def _leased(self) -> bool:
        """Whether the lease is ours, taken or longer held."""
        if self.redis.set(self._keys[0], self.name, nx=True, px=LEASE_MS):
            return True
        return bool(self.redis.eval(EXTEND, 1, self._keys[0], self.name))

    def _load(self) -> tuple[Watch, bytes]:
        """The watch that is kept, or a new one; each is the caller's own."""
        state, position = cast("list[bytes | None]", self.redis.mget(self._keys[1:3]))
        if state is None or position is None:
            return copy.deepcopy(self.fresh), BEGINNING
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            path.write_bytes(state)
            return load_watch(path, copy.copy(self.detector))[0], position

    def _keep(self, watch: Watch, before: bytes, position: bytes, lines: list[str]) -> bool:
        """State, position and alerts at once, if the lease is still ours and the position where it was."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            save_watch(watch, path)
            return bool(self._commit(keys=self._keys, args=[self.name, before, path.read_bytes(), position, *lines]))


def _row(fields: dict[bytes, bytes]) -> Row:
    try:
        named = {key.decode(): value.decode() for key, value in fields.items()}
        count = sum(name.startswith("v") for name in named)
        return Row(float(named["time"]), tuple(read_number(named[f"v{n}"], "a point") for n in range(count)))
    except (KeyError, ValueError, UnicodeDecodeError):
        raise UserError("a point of the stream has no time or no v0, v1, …") from None
