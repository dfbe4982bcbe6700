"""Load on a server: clients that ask again once they are answered, or requests at a pace that waits for nobody.

At a pace a latency counts from when its request was due: clients that wait for answers would hide the queue before the
server (coordinated omission; Schroeder et al. 2006, "Open versus closed: a cautionary tale").
"""

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

IDLE = 3.0
"""Seconds after which a connection is made anew: a server hangs up after five, and a request would meet that."""
Ask = Callable[[float], None]
"""One request of one client; it is told when the request was due, by `time.perf_counter`."""
T = TypeVar("T")


class Line:
    """One connection that is kept.

    Args:
        url: Address of the server.
        headers: Sent with every request.
        seconds: How long an answer is waited for.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, seconds: float = 30.0) -> None:
        where = urlsplit(url)
        self._http = http.client.HTTPConnection(where.hostname or "", where.port, timeout=seconds)
        self._headers, self._used = dict(headers or {}), 0.0

    def send(
        self, method: str, path: str, body: str | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """(status, body); (0, b"") without an answer."""
        if time.monotonic() - self._used > IDLE:
            self._http.close()
        try:
            self._http.request(method, path, body, {**self._headers, **(headers or {})})
            answer = self._http.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            return 0, b""
        self._used = time.monotonic()
        return answer.status, told

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._http.close()


@dataclass
class Tally:
    """What became of requests.

    Attributes:
        seconds: Latencies by status; 0 is no answer.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, due: float) -> None:
        """An answer has come, just now."""
        with self._lock:
            self.seconds.setdefault(status, []).append(time.perf_counter() - due)

    @property
    def counts(self) -> Counter[int]:
        """Answers by status."""
        return Counter({status: len(each) for status, each in self.seconds.items()})

    def ms(self, status: int, share: float) -> float:
        """Latency in ms that this share of the answers of a status did not exceed; 0 without any."""
        return quantile(self.seconds.get(status, []), share)


def quantile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds, of times in any order; 0 without any."""
    ordered = sorted(seconds)
    return round(1000 * ordered[int(share * (len(ordered) - 1))], 1) if ordered else 0.0


def closed(clients: Sequence[Ask], seconds: float) -> float:
    """Each asks again once it is answered, for so long. Returns the seconds until all were answered."""
    begun = time.perf_counter()

    def run(ask: Ask) -> None:
        while (now := time.perf_counter()) < begun + seconds:
            ask(now)

    return _all(clients, run, begun)


def paced(clients: Sequence[Ask], gaps: Iterable[float], seconds: float) -> float:
    """Requests so far apart, each at its time, by whichever client is free; late ones are late, not left out.

    Args:
        gaps: Seconds from each request to the next; `itertools.repeat(1 / rate)` for an even pace.

    Returns:
        Seconds until all were answered: beyond `seconds` by what had to wait.
    """
    begun = time.perf_counter()
    dues = taking(itertools.accumulate(gaps, initial=begun))

    def run(ask: Ask) -> None:
        while (due := dues()) < begun + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            ask(due)

    return _all(clients, run, begun)


def _all(clients: Sequence[Ask], run: Callable[[Ask], None], begun: float) -> float:
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(run, clients))
    return time.perf_counter() - begun


def taking(values: Iterable[T]) -> Callable[[], T]:
    """The next of the values at each call, for several threads."""
    lock, left = threading.Lock(), iter(values)

    def take() -> T:
        with lock:
            return next(left)

    return take
