"""`make bench-adapters`: the time of a training step, each arm in a process of its own and in turn with the others.

Frozen base against full fine-tuning, hooks against the same adapters written into the blocks, ours against PEFT's LoRA
of equal size and against the `adapters` library, if its environment is there (`make results-adapters` makes it). Every
arm sees the same batches and takes its steps in turn (shared/interleave.py).
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.adapters.arms import read_corpus, read_encoder
from projects.adapters.bench_arms import MEASURED
from projects.adapters.config import Config
from projects.adapters.peers import HOME, WORKER, job_of
from projects.adapters.study import BENCH, RESULTS, publish_times
from shared import checks
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.interleave import Measured, bench_rows, commands, in_turn
from shared.study import publish_bench

OURS = "bottleneck"  # the arm that the others are compared with
# On the other tasks only the arms whose convergence is reported in seconds.
FEWER = ("bottleneck", "parallel", "full")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training steps of every arm in turn."""

    datasets: tuple[str, ...] = ("trec", "movie_reviews", "ner-2")
    """Tasks; on the first every arm is measured, on the others adapters and full fine-tuning."""
    rounds: int = 12
    """How often each arm has its turn."""
    steps: int = 3
    """Steps in a turn; the first round is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 2, "rounds")
        checks.at_least(self, 1, "steps")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time of adapters on hooks with that of every other arm."""
    refuse_unwritable(config.out)
    jobs = {dataset: job_for(dataset) for dataset in config.datasets}  # every task is read before one is measured
    rows: list[dict[str, Any]] = []
    for number, (dataset, job) in enumerate(jobs.items()):
        rows += task_rows(dataset, measure_task(config, dataset, job, FEWER if number else arms()))
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": 32, "bottleneck": Config().bottleneck}
    publish_bench(BENCH, rows, config.out, "adapters", details)
    publish_times(config.out)
    return rows


def arms() -> tuple[str, ...]:
    """Every arm that can be measured here."""
    return (*MEASURED, "peer") if (HOME / ".ready").exists() else MEASURED


def job_for(dataset: str) -> dict[str, Any]:
    """What every arm trains on: twenty batches, over and over."""
    base = Config(dataset=dataset, limit=640, epochs=1)
    _, tokenizer = read_encoder(base)
    corpus = read_corpus(base, tokenizer)
    return {**job_of(base, corpus), "tagging": corpus.tagging, "validation": [], "test": []}


def measure_task(config: BenchConfig, dataset: str, job: dict[str, Any], names: tuple[str, ...]) -> dict[str, Measured]:
    """Every arm, in turn with the others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        write_json(path, job)
        with commands({arm: command_of(arm, path) for arm in names}) as workers:
            title = f"{dataset}, rounds"
            return in_turn(workers, rounds=config.rounds, steps=config.steps, description=title)


def command_of(arm: str, job: Path) -> list[str]:
    """The command of an arm's process."""
    if arm == "peer":
        return [str(HOME / "bin" / "python"), "-P", str(WORKER), "serve", str(job)]
    return [sys.executable, "-m", "projects.adapters.bench_arms", arm, str(job)]


def task_rows(dataset: str, measured: dict[str, Measured]) -> list[dict[str, Any]]:
    """A row an arm: `bench_rows` of a task."""
    kept = {"arm": "arm", "step_ms": "step_ms", "ours_over_arm": f"{OURS}_over_arm"}
    kept |= {name: name for name in ("ratio_q1", "ratio_q3", "peak_mb")}
    return [{"dataset": dataset, **{name: row[of] for name, of in kept.items()}} for row in bench_rows(measured, OURS)]


if __name__ == "__main__":
    command(main, BenchConfig)
