"""`make bench-adapters`: the time of a training step, each arm in a process of its own and in turn with the others.

Frozen base against full fine-tuning, hooks against the same adapters written into the blocks, ours against PEFT's LoRA
of equal size and against the `adapters` library, if its environment is there (`python -m projects.adapters.experiments
--task peers` makes it). Every arm sees the same batches and takes its steps in turn (shared/interleave.py).
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.adapters.assembly import read_corpus, read_encoder
from projects.adapters.bench_arms import ARMS
from projects.adapters.config import Config
from projects.adapters.experiments import publish_times
from projects.adapters.peers import HOME, WORKER, job_of
from projects.adapters.tables import BENCH_NAMES, README, Rows, bench_markdown
from shared import checks, devices
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import Measured, commands, in_turn, ratio, step_ms
from shared.progress import table
from shared.report import put_into_readme, read_csv, write_csv

RESULTS = Path("projects/adapters/results")
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


def main(config: BenchConfig) -> Rows:
    """Compare the step time of adapters on hooks with that of every other arm."""
    refuse_unwritable(config.out)
    jobs = {dataset: job_for(dataset) for dataset in config.datasets}  # every task is read before one is measured
    rows: Rows = []
    for number, (dataset, job) in enumerate(jobs.items()):
        rows += measure_task(config, dataset, job, arms() if number == 0 else FEWER)
    cells = [
        (
            row["dataset"],
            BENCH_NAMES[row["arm"]].replace("`", ""),
            f"{row['step_ms']:.1f}",
            f"{row['ours_over_arm']:.3f}",
            f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
            f"{row['peak_mb']:.0f} MB",
        )
        for row in rows
    ]
    title = f"{config.rounds - 1} rounds of {config.steps} steps, batch 32"
    columns = ["task", "arm", "ms a step (median)", "ours on hooks / arm", "its quartiles", "peak memory"]
    table(title, columns, cells)
    save(config, rows)
    return rows


def arms() -> tuple[str, ...]:
    """Every arm that can be measured here."""
    return (*ARMS, "peer") if (HOME / ".ready").exists() else tuple(ARMS)


def job_for(dataset: str) -> dict[str, Any]:
    """What every arm trains on: twenty batches, over and over."""
    base = Config(dataset=dataset, limit=640, epochs=1)
    _, tokenizer = read_encoder(base)
    corpus = read_corpus(base, tokenizer)
    return {**job_of(base, corpus), "tagging": corpus.tagging, "validation": [], "test": []}


def measure_task(config: BenchConfig, dataset: str, job: dict[str, Any], chosen: tuple[str, ...]) -> Rows:
    """A row an arm."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        write_json(path, job)
        with commands({arm: words_of(arm, path) for arm in chosen}) as workers:
            title = f"{dataset}, rounds"
            measured = in_turn(workers, rounds=config.rounds, steps=config.steps, description=title)
    return [summary(dataset, arm, measured) for arm in chosen]


def words_of(arm: str, job: Path) -> list[str]:
    """The command of an arm's process."""
    if arm == "peer":
        return [str(HOME / "bin" / "python"), "-P", str(WORKER), "serve", str(job)]
    return [sys.executable, "-m", "projects.adapters.bench_arms", arm, str(job)]


def summary(dataset: str, arm: str, measured: dict[str, Measured]) -> dict[str, Any]:
    """Medians of one arm, and our step time over its."""
    mine, over = measured[arm], ratio(measured, OURS, arm)
    return {
        "dataset": dataset,
        "arm": arm,
        "step_ms": round(step_ms(mine), 2),
        "ours_over_arm": round(over.median, 4),
        "ratio_q1": round(over.q1, 4),
        "ratio_q3": round(over.q3, 4),
        "peak_mb": round(mine.peak_mb, 1),
    }


def save(config: BenchConfig, rows: Rows) -> None:
    """bench.csv with the rows, bench.json with what they were measured on, and the README's tables."""
    devices.use_all_cores()
    write_csv(config.out / "bench.csv", rows)
    seal_table(config.out / "bench.csv", project="adapters", key=team_key())
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": 32, "bottleneck": Config().bottleneck}
    write_json(config.out / "bench.json", {**details, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", bench_markdown(read_csv(config.out / "bench.csv")))
        publish_times(config.out, README)


if __name__ == "__main__":
    command(main, BenchConfig)
