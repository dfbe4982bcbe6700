"""`make bench-adapters`: the time of a training step, each arm in a process of its own and in turn with the others.

Frozen base against full fine-tuning, hooks against the same adapters written into the blocks, ours against PEFT's LoRA
of equal size and against the `adapters` library, if its environment is there (`make results-adapters` makes it).
"""

import sys
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from projects.adapters.arms import ARMS, make_optimizer
from projects.adapters.config import Config
from projects.adapters.hooks.inline import write_inline
from projects.adapters.peers import PYTHON, READY, PeerConfig
from projects.adapters.study import BENCH, RESULTS, add_times, views
from projects.adapters.train import prepare, training_step
from shared import devices
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import Measured, Turns, bench_rows, commands, in_turn, serve_lines
from shared.measured import publish_bench
from shared.report import put_tables

BASE = Config(limit=640, epochs=1, lr=1e-4)  # twenty batches, over and over
MEASURED = ("bottleneck", "inline", "parallel", "lora", "full")
FEWER = ("bottleneck", "parallel", "full")  # on all but the first task: those whose convergence is told in seconds


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns):
    """Measure training steps of every arm in turn."""

    dataset: tuple[str, ...] = ("trec", "movie_reviews", "ner-2")
    """Tasks; on the first every arm is measured, on the others adapters and full fine-tuning."""
    rounds: int = 12
    steps: int = 3
    out: Path = RESULTS


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time of adapters on hooks with that of every other arm."""
    refuse_unwritable(config.out)
    for dataset in config.dataset:
        prepare(config_of("bottleneck", dataset))  # here, what cannot be read ends in one line
    rows: list[dict[str, Any]] = []
    for dataset in config.dataset:
        arms = FEWER if rows else (*MEASURED, "peer") if READY.exists() else MEASURED
        serving = "from projects.adapters.benchmark import serve; serve({!r}, {!r})"
        python = {arm: str(PYTHON if arm == "peer" else sys.executable) for arm in arms}
        with commands({arm: [python[arm], "-c", serving.format(arm, dataset)] for arm in arms}) as workers:
            measured = in_turn(workers, rounds=config.rounds, steps=config.steps, description=f"{dataset}, rounds")
        rows += task_rows(dataset, measured)
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": 32, "bottleneck": BASE.bottleneck}
    publish_bench(BENCH, rows, config.out, "adapters", details)
    if (config.out / "runs.csv").exists():
        add_times(config.out)
        put_tables(config.out, views(config.out))
    return rows


def serve(arm: str, dataset: str) -> None:
    """One arm's process: take training steps when asked."""
    devices.use_all_cores()
    config = config_of(arm, dataset)
    model, corpus = prepare(config)
    if arm == "inline":
        write_inline(model.encoder)  # type: ignore[arg-type]
    optimizer = make_optimizer(config, model)
    batches = cycle(corpus.train.shuffled(config.batch_size, seed=config.seed, epoch=0))
    serve_lines(lambda: training_step(config, model, optimizer, next(batches)))


def config_of(arm: str, dataset: str) -> Config:
    """What an arm trains."""
    settings = ARMS["bottleneck" if arm in ("inline", "peer") else arm]
    return (PeerConfig if arm == "peer" else Config)(**{**vars(BASE), "dataset": dataset, **settings})


def task_rows(dataset: str, measured: dict[str, Measured]) -> list[dict[str, Any]]:
    """A row an arm: `bench_rows` of a task."""
    rows = [{"dataset": dataset, **row} for row in bench_rows(measured, "bottleneck", called="ours")]
    return [{name: value for name, value in row.items() if name != "growth_mb"} for row in rows]


if __name__ == "__main__":
    command(main, BenchConfig)
