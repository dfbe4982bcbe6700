"""kill -9 in the middle of writes, again and again: what was acknowledged is there, and what was deleted stays away.

Several clients of two tenants put and delete documents, each its own; the process that serves is killed after a random
number of answers and started again on the same folder. A document may be as it was acknowledged last, or as the one
request would have made it that was not answered; searches must agree with what is kept.
"""

import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from projects.qa_api.measure.clients import FREE, Client
from projects.qa_api.server.app import keys_of
from projects.qa_api.server.people import issue
from projects.qa_api.server.settings import PREFIX, Settings
from shared.errors import UserError
from shared.web.launch import listening

CLIENTS, DOCUMENTS = 3, 5  # documents of a client
MOST = 30  # changes that are answered before a kill, at most
LATER = 0.01  # seconds after the last of them, at most


@dataclass
class Writer:
    """A client that writes documents of its own, and what it knows of them.

    Attributes:
        acknowledged: Version by document, None for one that is not there.
        pending: What an unanswered request would have made of a document.
    """

    number: int
    key: str
    acknowledged: dict[str, int | None] = field(default_factory=dict)
    pending: dict[str, int | None] = field(default_factory=dict)
    version: int = 0
    answered: int = 0

    def write(self, url: str, source: random.Random, stop: threading.Event) -> None:
        """Until it is told to stop, or nobody answers."""
        line = Client(url, self.key, 60.0)
        while not stop.is_set():
            self.version += 1
            name = f"d{self.number}-{source.randrange(DOCUMENTS)}"
            version = None if source.random() < 0.35 else self.version
            self.pending[name] = version
            told = {"title": name, "text": self.text(name, self.version), "language": "en"}
            path = f"/v1/documents/{name}"
            status, _ = line.call("DELETE", path) if version is None else line.call("PUT", path, told)
            if status == 0:
                return
            if status in (200, 201, 404):
                self.acknowledged[name] = self.pending.pop(name)
                self.answered += 1
        line.close()

    def text(self, name: str, version: int) -> str:
        """Text of a version, with a word that no other one has."""
        return f"Marker{self.number}x{name[-1]}x{version} stands here for {name}."

    def check(self, url: str) -> dict[str, int]:
        """What is wrong by now; what is there counts as acknowledged from here on."""
        line, wrong = Client(url, self.key), {"lost": 0, "returned": 0, "index_apart": 0}
        for number in range(DOCUMENTS):
            name = f"d{self.number}-{number}"
            status, told = line.call("GET", f"/v1/documents/{name}")
            there = int(told["text"].split()[0].rsplit("x", 1)[1]) if status == 200 else None
            wanted = self.acknowledged.get(name)
            if there != wanted and not (name in self.pending and there == self.pending[name]):
                wrong["returned" if wanted is None else "lost"] += 1
            for version in {wanted, there, self.pending.get(name)} - {None}:
                assert version is not None
                word = self.text(name, version).split()[0]
                hits = line.call("GET", f"/v1/search?q={word}&k=20")[1]["hits"]
                found = any(each["document"] == name and word in each["beginning"] for each in hits)
                wrong["index_apart"] += found != (version == there)
            self.acknowledged[name] = there
        self.pending.clear()
        line.close()
        return wrong


def rows(kills: int = 100, *, seed: int = 0) -> list[dict[str, Any]]:
    """One row: so many kills, and what was wrong after any of them."""
    source, total = random.Random(seed), {"lost": 0, "returned": 0, "index_apart": 0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        keys = keys_of(Settings(data=folder))
        writers = [Writer(n, issue(keys, "ab"[n % 2], "write", f"w{n}")) for n in range(CLIENTS)]
        unanswered = 0
        for _ in range(kills):
            with started(folder) as (url, process):
                _add(total, [each.check(url) for each in writers])
                stop = threading.Event()
                threads = [threading.Thread(target=each.write, args=(url, random.Random(source.random()), stop))
                           for each in writers]  # fmt: skip
                for thread in threads:
                    thread.start()
                wanted = sum(each.answered for each in writers) + source.randint(1, MOST)
                while sum(each.answered for each in writers) < wanted and any(each.is_alive() for each in threads):
                    time.sleep(0.001)
                time.sleep(source.uniform(0, LATER))
                process.kill()
                for thread in threads:
                    thread.join()
                unanswered += sum(len(each.pending) for each in writers)
        with started(folder) as (url, _):
            _add(total, [each.check(url) for each in writers])
    answered = sum(each.answered for each in writers)
    return [{"kills": kills, "clients": CLIENTS, "acknowledged": answered, "unanswered": unanswered, **total}]


def _add(total: dict[str, int], found: list[dict[str, int]]) -> None:
    for each in found:
        for name, count in each.items():
            total[name] += count


@contextmanager
def started(folder: Path) -> Iterator[tuple[str, Any]]:
    """The small service in a process of its own, forked from one that has everything loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["projects.qa_api.measure.small"])
    opened = listening("127.0.0.1", 0)
    port = opened.getsockname()[1]
    opened.close()
    process = context.Process(target=_serve, args=(str(folder), port), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        line, end = Client(url, ""), time.monotonic() + 180
        while line.call("GET", "/ready")[0] != 200:
            if not process.is_alive() or time.monotonic() > end:
                raise UserError("the server did not start again")
            time.sleep(0.01)
        line.close()
        yield url, process
    finally:
        process.kill()
        process.join()


def _serve(folder: str, port: int) -> None:
    from projects.qa_api.measure.small import main

    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    told = {"data": folder, "port": port, "dataset": "none", "rate": FREE}
    main({PREFIX + name.upper(): str(value) for name, value in told.items()})
