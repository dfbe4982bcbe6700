"""`make bench-news_cls`: one article and batches of 32 over HTTP, by torch and by an int8 graph, servers in turn."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.news_cls.classifier import Classifier
from projects.news_cls.data.sources import corpus, outlets
from projects.news_cls.export import FOLDER, export
from projects.news_cls.measure.shown import BENCH
from projects.news_cls.measure.speed import BATCH, started
from projects.news_cls.study import RESULTS
from shared import checks
from shared.errors import command
from shared.files import refuse_unwritable
from shared.measured import publish_bench

ARMS: dict[str, dict[str, str]] = {
    "torch float32": {"precision": "float32"},
    "torch, bfloat16 where it gains": {"precision": "auto"},
    "onnxruntime int8": {"backend": "onnx"},
}


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
        checks.at_least(self, 2, "rounds", "single", "batches", "compared")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Time single articles and batches over HTTP by each backend, and count which labels are float32's."""
    refuse_unwritable(config.out)
    classifier = Classifier.load(config.run)
    if not (config.run / FOLDER).exists():
        export(classifier.model, classifier.digest, config.run / FOLDER)
    texts = [each.text for each in (*corpus("bbc").test, *outlets())][: config.compared]
    with ExitStack() as stack:
        arms = {name: started(stack, config.run, told) for name, told in ARMS.items()}
        for turn in range(config.rounds):
            for arm in arms.values() if turn % 2 else reversed(list(arms.values())):
                arm.turn(texts, config.single, config.batches, counted=turn > 0)
        said = {name: arm.topics(texts) for name, arm in arms.items()}
        rows = [arm.row(name, said[name], said[next(iter(ARMS))]) for name, arm in arms.items()]
    details = {"tokens": classifier.model.policy.tokens, "compared": len(texts), "batch": BATCH}
    return publish_bench(BENCH, rows, config.out, "news_cls", details)


if __name__ == "__main__":
    command(main, BenchConfig)
