"""Clients that measure: one connection each, and what was answered."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from projects.qa_api.server.app import keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import PREFIX, Settings
from shared.lab.load import Line
from shared.web.launch import Running, running

SERVER = "projects.qa_api.server"
FREE = 1e5  # requests a second, where the limit is not what is measured


class Client(Line):
    """One connection with a key, over which JSON goes; a server that is gone is status 0."""

    def __init__(self, url: str, key: str, seconds: float = 30.0) -> None:
        super().__init__(url, {"Authorization": f"Bearer {key}"}, seconds)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON); (0, None) without an answer."""
        content = json.dumps(body) if body is not None else None
        status, told = self.send(method, path, content, {"Content-Type": "application/json"} if content else {})
        return status, json.loads(told) if told else None


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


def until(asked: Any, most: float = 5.0) -> float:
    """Seconds until a condition holds, asked again and again; `most` if it does not."""
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < most:
        if asked():
            return time.perf_counter() - begun
    return passed
