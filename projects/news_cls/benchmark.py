"""`make bench-news_cls`: one article and batches of 32 over HTTP, by torch and by an int8 graph, servers in turn."""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from projects.news_cls.classifier import Classifier
from projects.news_cls.data.sources import corpus, outlets
from projects.news_cls.export import FOLDER, export
from projects.news_cls.measure.shown import BENCH
from projects.news_cls.study import RESULTS
from shared import checks
from shared.errors import command
from shared.files import refuse_unwritable
from shared.measured import publish_bench
from shared.web.launch import Running, running

ARMS: dict[str, dict[str, str]] = {
    "torch float32": {"precision": "float32"},
    "torch, bfloat16 where it gains": {"precision": "auto"},
    "onnxruntime int8": {"backend": "onnx"},
}
BATCH = 32


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure the service with each backend, in turn."""

    run: Path = Path("runs/news_cls/served")
    """The run that is served."""
    rounds: int = 6
    """Turns of each server; the first warms up."""
    single: int = 20
    """Single articles in a turn."""
    batches: int = 3
    """Batches in a turn."""
    compared: int = 1000
    """Articles whose labels are compared."""
    out: Path = RESULTS
    """Where the table goes."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        checks.at_least(self, 2, "rounds")
        checks.at_least(self, 1, "single", "batches", "compared")


@dataclass
class Arm:
    """A server and what was measured of it."""

    server: Running
    client: httpx.Client
    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Time single articles and batches over HTTP by each backend, and count which labels are float32's."""
    refuse_unwritable(config.out)
    classifier = Classifier.load(config.run)
    if not (config.run / FOLDER).exists():
        export(classifier.model, classifier.digest, config.run / FOLDER)
    texts = [each.text for each in (*corpus("bbc").test, *outlets())][: config.compared]
    with ExitStack() as stack:
        arms = {name: started(stack, config, told) for name, told in ARMS.items()}
        for turn in range(config.rounds):
            for arm in arms.values() if turn % 2 else reversed(list(arms.values())):
                turn_of(arm, texts, config, counted=turn > 0)
        said = {name: labels_of(arm, texts) for name, arm in arms.items()}
        rows = [row_of(name, arm, said[name], said[next(iter(ARMS))]) for name, arm in arms.items()]
    details = {"tokens": classifier.model.policy.tokens, "compared": len(texts), "batch": BATCH}
    return publish_bench(BENCH, rows, config.out, "news_cls", details)


def started(stack: ExitStack, config: BenchConfig, told: dict[str, str]) -> Arm:
    """A server of its own, ended with the stack."""
    data = stack.enter_context(TemporaryDirectory())
    options = {"model": config.run, "data": data, "rate": 10_000, **told}
    server = stack.enter_context(running("projects.news_cls.server", "NEWS_CLS_", options))
    return Arm(server, stack.enter_context(httpx.Client(base_url=server.url, timeout=60)))


def turn_of(arm: Arm, texts: list[str], config: BenchConfig, *, counted: bool) -> None:
    """Some single articles, one after the other, and some batches."""
    for text in texts[: config.single]:
        begun = time.perf_counter()
        arm.client.post("/classify", json={"text": text}).raise_for_status()
        arm.single += [time.perf_counter() - begun] if counted else []
    for number in range(config.batches):
        part = texts[number * BATCH : (number + 1) * BATCH]
        begun = time.perf_counter()
        arm.client.post("/classify/batch", json={"texts": part}).raise_for_status()
        arm.batch += [len(part) / (time.perf_counter() - begun)] if counted else []


def labels_of(arm: Arm, texts: list[str]) -> list[str]:
    """Topics of all texts."""
    found: list[str] = []
    for start in range(0, len(texts), BATCH):
        answer = arm.client.post("/classify/batch", json={"texts": texts[start : start + BATCH]}).raise_for_status()
        found += [each["topic"] for each in answer.json()["answers"]]
    return found


def row_of(name: str, arm: Arm, said: list[str], exact: list[str]) -> dict[str, Any]:
    """A row of the table."""
    ms = 1000 * np.array(arm.single)
    return {
        "arm": name,
        "one_p50_ms": round(float(np.median(ms)), 2),
        "one_p95_ms": round(float(np.percentile(ms, 95)), 2),
        "a_second": round(statistics.median(arm.batch), 1),
        "agree": round(statistics.mean(a == b for a, b in zip(said, exact, strict=True)), 4),
        "memory_mb": round(arm.server.resident_mb(), 1),
    }


if __name__ == "__main__":
    command(main, BenchConfig)
