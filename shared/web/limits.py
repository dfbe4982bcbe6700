"""How often a client may ask: a token bucket for each, in bounded memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable


class Limiter:
    """A bucket of `burst` tokens a client, refilled at `rate` a second; each request takes one.

    Args:
        rate: Requests a second that a client may keep up.
        burst: Requests that it may send at once.
        clients: Buckets that are remembered; beyond them the one that was used longest ago is forgotten, so that a
            flood of addresses costs memory for this many and no more.
        clock: Seconds, for tests.
    """

    def __init__(
        self, rate: float, burst: int, *, clients: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clients, self.clock = rate, burst, clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> tokens, when

    def take(self, client: str) -> int:
        """0 and a token less, or the whole seconds after which there is one again."""
        now = self.clock()
        tokens, then = self._buckets.pop(client, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - then) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        while len(self._buckets) > self.clients:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, math.ceil((1 - tokens) / self.rate))

    def __len__(self) -> int:
        return len(self._buckets)
