"""A server of this service, and how long its answers take: for the benchmark."""

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from shared.web.launch import Running, running

BATCH = 32


@dataclass
class Served:
    """A server and what was measured of it: seconds of single articles, articles a second of batches."""

    server: Running
    client: httpx.Client
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)

    def turn(self, texts: Sequence[str], single: int, batches: int, *, counted: bool) -> None:
        """Some single articles, one after the other, and some batches."""
        for text in texts[:single]:
            begun = time.perf_counter()
            self.client.post("/classify", json={"text": text}).raise_for_status()
            self.single += [time.perf_counter() - begun] if counted else []
        for number in range(batches):
            part = texts[number * BATCH : (number + 1) * BATCH]
            begun = time.perf_counter()
            self.topics(part)
            self.batch += [len(part) / (time.perf_counter() - begun)] if counted else []

    def topics(self, texts: Sequence[str]) -> list[str]:
        """The topic that the service gives each text, asked in batches."""
        found: list[str] = []
        for start in range(0, len(texts), BATCH):
            body = {"texts": list(texts[start : start + BATCH])}
            answer = self.client.post("/classify/batch", json=body).raise_for_status()
            found += [each["topic"] for each in answer.json()["answers"]]
        return found

    def row(self, name: str, said: Sequence[str], exact: Sequence[str]) -> dict[str, Any]:
        """What the table says of it."""
        ms = 1000 * np.array(self.single)
        return {
            "arm": name,
            "one_p50_ms": round(float(np.median(ms)), 2),
            "one_p95_ms": round(float(np.percentile(ms, 95)), 2),
            "a_second": round(statistics.median(self.batch), 1),
            "agree": round(statistics.mean(a == b for a, b in zip(said, exact, strict=True)), 4),
            "memory_mb": round(self.server.resident_mb(), 1),
        }


def started(stack: ExitStack, run: Path, told: dict[str, str]) -> Served:
    """A server of its own, ended with the stack."""
    data = stack.enter_context(TemporaryDirectory())
    options = {"model": run, "data": data, "rate": 10_000, **told}
    server = stack.enter_context(running("projects.news_cls.server", "NEWS_CLS_", options))
    return Served(server, stack.enter_context(httpx.Client(base_url=server.url, timeout=60)))
