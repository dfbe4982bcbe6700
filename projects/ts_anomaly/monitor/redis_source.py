"""Points from a stream of Redis, shared by consumers of a group: none is lost, and none is judged twice.

Each series belongs to one shard (a stream of its own), and one consumer at a time judges a shard: it holds a lease, a
key that expires. State and position are written in one transaction of Redis, so that whoever takes over goes on
behind the last point that is in the state: points that were read by a consumer that died are read again, and judged
by the state as it was before them. Kafka has the same parts (a partition a shard, offsets in the transaction); there
is no broker here to test it with.
"""

import math
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from redis import Redis

from projects.ts_anomaly.data.reading import Row, read_number
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.monitor.alerts import as_line
from projects.ts_anomaly.monitor.state import load_watch, save_watch
from projects.ts_anomaly.monitor.watch import Watch
from shared.errors import UserError

LEASE_MS = 3000
BATCH = 64
COMMIT = f"""
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[2], ARGV[2])
redis.call('set', KEYS[3], ARGV[3])
for i = 4, #ARGV do redis.call('xadd', KEYS[4], '*', 'alert', ARGV[i]) end
return redis.call('pexpire', KEYS[1], {LEASE_MS})
"""
EXTEND = f"if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], {LEASE_MS}) end return 0"


def add(redis: Redis, shard: str, row: Row) -> None:
    """Append a point, as whoever measures it does."""
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
        self.name = uuid.uuid4().hex
        self._keys = [f"{kind}:{shard}" for kind in ("lease", "state", "position", "alerts")]
        self._commit = redis.register_script(COMMIT)

    def batches(self, *, wait_ms: int = 200) -> Iterator[int]:
        """Judge batch after batch; yields how many points each had, 0 where there is nothing, or the lease is
        another's.
        """
        watch: Watch | None = None
        position = b"0"
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
            for place, fields in entries:
                row = _row(fields)
                lines += [as_line(self.shard, alert) for alert in watch.push(row.time, row.values)[1]]
                position = place
            if entries and not self._keep(watch, position, lines):
                watch = None  # the lease went to somebody else: what was judged here never was
            yield len(entries)

    def _leased(self) -> bool:
        """Whether the lease is ours, taken or longer held."""
        if self.redis.set(self._keys[0], self.name, nx=True, px=LEASE_MS):
            return True
        return bool(self.redis.eval(EXTEND, 1, self._keys[0], self.name))

    def _load(self) -> tuple[Watch, bytes]:
        state, position = (cast("bytes | None", self.redis.get(key)) for key in self._keys[1:3])
        if state is None or position is None:
            return self.fresh, b"0"
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            path.write_bytes(state)
            return load_watch(path, self.detector)[0], position

    def _keep(self, watch: Watch, position: bytes, lines: list[str]) -> bool:
        """State, position and alerts at once, if the lease is still ours."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "state"
            save_watch(watch, path)
            return bool(self._commit(keys=self._keys, args=[self.name, path.read_bytes(), position, *lines]))


def _row(fields: dict[bytes, bytes]) -> Row:
    try:
        named = {key.decode(): value.decode() for key, value in fields.items()}
        count = sum(name.startswith("v") for name in named)
        return Row(float(named["time"]), tuple(read_number(named[f"v{n}"], "a point") for n in range(count)))
    except (KeyError, ValueError, UnicodeDecodeError):
        raise UserError("a point of the stream has no time or no v0, v1, …") from None
