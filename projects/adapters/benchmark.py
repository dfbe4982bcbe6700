"""`make bench-adapters`: the time of a training step, each arm in a process of its own and in turn with the others.

Frozen base against full fine-tuning, hooks against the same adapters written into the blocks, ours against PEFT's LoRA
of equal size and against the `adapters` library, if its environment is there (`python -m projects.adapters.experiments
--task peers` makes it). Every arm sees the same batches. A round lets each arm take a few steps; ratios are taken round
by round, so that a drift of the machine's speed touches all arms alike.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.adapters.assembly import read_corpus, read_encoder
from projects.adapters.bench_arms import ARMS
from projects.adapters.config import Config
from projects.adapters.experiments import publish_times
from projects.adapters.peers import HOME, WORKER, job_of
from projects.adapters.tables import BENCH_NAMES, README, Rows, bench_markdown
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.progress import table, track
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


def main(config: BenchConfig) -> Rows:
    """Compare the step time of adapters on hooks with that of every other arm."""
    if config.rounds < 2 or config.steps < 1:
        raise UserError("--rounds must be at least 2 (the first is warm-up) and --steps at least 1")
    rows: Rows = []
    for number, dataset in enumerate(config.datasets):
        rows += measure_task(config, dataset, arms() if number == 0 else FEWER)
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


def measure_task(config: BenchConfig, dataset: str, chosen: tuple[str, ...]) -> Rows:
    """A row an arm."""
    base = Config(dataset=dataset)
    _, tokenizer = read_encoder(base)
    corpus = read_corpus(replace(base, limit=640, epochs=1), tokenizer)  # twenty batches, over and over
    job = {**job_of(replace(base, epochs=1), corpus), "tagging": corpus.tagging, "validation": [], "test": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        write_json(path, job)
        times, memory = measure(config, chosen, path, dataset)
    return [summary(dataset, arm, times, memory) for arm in chosen]


def measure(
    config: BenchConfig, chosen: tuple[str, ...], job: Path, title: str
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds a step, round by round, and the peak memory in MB, by arm."""
    times: dict[str, list[float]] = {arm: [] for arm in chosen}
    with served(chosen, job) as workers:
        for worker in workers.values():
            listen(worker)  # ready: nothing else runs while the first arm is timed
        for turn in track(range(config.rounds), description=f"{title}, rounds", total=config.rounds):
            for arm in chosen if turn % 2 else reversed(chosen):
                times[arm].append(float(ask(workers[arm], config.steps)))
        memory = {arm: float(ask(worker, 0)) for arm, worker in workers.items()}
    return {arm: spent[1:] for arm, spent in times.items()}, memory


@contextmanager
def served(chosen: tuple[str, ...], job: Path) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """A process an arm, ended with the block."""
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    # Idle arms must sleep: OpenMP threads that spin between two turns take the cores from the arm whose turn it is.
    waiting = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    workers = {arm: subprocess.Popen(words_of(arm, job), text=True, env=waiting, **streams) for arm in chosen}
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()


def words_of(arm: str, job: Path) -> list[str]:
    """The command of an arm's process."""
    if arm == "peer":
        return [str(HOME / "bin" / "python"), "-P", str(WORKER), "serve", str(job)]
    return [sys.executable, "-m", "projects.adapters.bench_arms", arm, str(job)]


def ask(worker: "subprocess.Popen[str]", steps: int) -> str:
    """Let an arm take its steps. Returns its answer."""
    assert worker.stdin is not None
    worker.stdin.write(f"{steps}\n")
    worker.stdin.flush()
    return listen(worker)


def listen(worker: "subprocess.Popen[str]") -> str:
    """The next line of an arm.

    Raises:
        UserError: If its process has ended.
    """
    assert worker.stdout is not None
    line = worker.stdout.readline().strip()
    if not line:
        raise UserError(f"the process of an arm ended early: {' '.join(map(str, worker.args))}")  # type: ignore[arg-type]
    return line


def summary(dataset: str, arm: str, times: dict[str, list[float]], memory: dict[str, float]) -> dict[str, Any]:
    """Medians of one arm; the ratio is taken round by round, then its median and quartiles."""
    ratios = [mine / theirs for mine, theirs in zip(times[OURS], times[arm], strict=True)]
    q1, median, q3 = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "dataset": dataset,
        "arm": arm,
        "step_ms": round(statistics.median(times[arm]), 2),
        "ours_over_arm": round(median, 4),
        "ratio_q1": round(q1, 4),
        "ratio_q3": round(q3, 4),
        "peak_mb": round(memory[arm], 1),
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
