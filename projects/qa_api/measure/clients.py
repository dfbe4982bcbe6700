"""Clients that measure: one connection each, and what was answered."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from projects.qa_api.server.app import keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import PREFIX, Settings
from shared.web.launch import Running, running

SERVER = "projects.qa_api.server"
FREE = 1e5  # requests a second, where the limit is not what is measured
IDLE = 3.0
"""Seconds after which a connection is made anew: a server hangs up after five, and a request would meet that."""


class Line:
    """One connection with a key; a server that is gone is status 0."""

    def __init__(self, url: str, key: str, seconds: float = 30.0) -> None:
        where = urlsplit(url)
        self._http = http.client.HTTPConnection(where.hostname or "", where.port, timeout=seconds)
        self._key, self._used = {"Authorization": f"Bearer {key}"}, 0.0

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON); (0, None) without an answer."""
        content = json.dumps(body) if body is not None else None
        kind = {"Content-Type": "application/json"} if body is not None else {}
        if time.monotonic() - self._used > IDLE:
            self._http.close()
        try:
            self._http.request(method, path, content, {**self._key, **kind})
            answer = self._http.getresponse()
            told = answer.read()
            self._used = time.monotonic()
            return answer.status, json.loads(told) if told else None
        except (OSError, http.client.HTTPException, ValueError):
            self._http.close()
            return 0, None

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._http.close()


@contextmanager
def served(
    run: Path | None, *, module: str = SERVER, tenant: str = "demo", **options: object
) -> Iterator[tuple[Running, str]]:
    """A server over a trained reader in a folder of its own; yields it and an admin's key of a tenant."""
    with TemporaryDirectory() as folder:
        key = issue(keys_of(Settings(data=Path(folder))), tenant, "admin", "measure")
        given = {"data": folder, "rate": FREE, **({"reader": run} if run else {}), **options}
        with running(module, PREFIX, given) as server:
            yield server, key


def quantile(seconds: list[float], share: float) -> float:
    """In milliseconds, of sorted or unsorted times; 0 without any."""
    ordered = sorted(seconds)
    return round(1000 * ordered[int(share * (len(ordered) - 1))], 1) if ordered else 0.0


def until(asked: Any, most: float = 5.0) -> float:
    """Seconds until a condition holds, asked again and again; `most` if it does not."""
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < most:
        if asked():
            return time.perf_counter() - begun
    return passed
