"""`make bench-lora`: step time and peak memory of our LoRA, PEFT's LoRA and full fine-tuning.

Each arm lives in a process of its own, so that its peak memory is its own; the parent lets one arm at a time take a few
steps, round by round, so that a drift of the machine's speed touches all of them alike.
"""

import multiprocessing as mp
import statistics
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.lora.config import Arm, Config
from projects.lora.tables import README, bench_markdown
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.progress import table, track
from shared.report import put_into_readme, read_csv, write_csv

ARMS: tuple[Arm, ...] = ("lora", "peft", "full")
RESULTS = Path("projects/lora/results")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training steps of three arms in turn."""

    train: Config = Config()
    """What to train; the arm is replaced."""
    rounds: int = 20
    """How often each arm has its turn."""
    steps: int = 4
    """Steps in a turn; the first round is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of LoRA with PEFT's and with full fine-tuning."""
    if config.rounds < 2 or config.steps < 1:
        raise UserError("--rounds must be at least 2 (the first is warm-up) and --steps at least 1")
    times, memory = measure(config)
    rows = [summary(arm, times, memory) for arm in ARMS]
    table(
        f"{config.rounds - 1} rounds of {config.steps} steps, batch {config.train.batch_size}, r = {config.train.rank}",
        ["arm", "ms a step (median)", "lora / arm (median)", "its quartiles", "peak memory", "growth in training"],
        [
            (
                row["arm"],
                f"{row['step_ms']:.1f}",
                f"{row['lora_over_arm']:.3f}",
                f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
                f"{row['peak_mb']:.0f} MB",
                f"{row['growth_mb']:.0f} MB",
            )
            for row in rows
        ],
    )
    save(config, rows)
    return rows


def measure(config: BenchConfig) -> tuple[dict[str, list[float]], dict[str, tuple[float, float]]]:
    """Milliseconds a step, round by round, and (peak, growth since the first step) in MB, by arm."""
    context = mp.get_context("spawn")  # a fork would inherit the parent's memory and count it
    pipes, workers = {}, []
    for arm in ARMS:
        pipes[arm], far_end = context.Pipe()
        workers.append(context.Process(target=work, args=(far_end, replace(config.train, arm=arm)), daemon=True))
        workers[-1].start()
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    memory: dict[str, tuple[float, float]] = {}
    try:
        for pipe in pipes.values():
            pipe.recv()  # ready: nothing else runs while the first arm is timed
        for turn in track(range(config.rounds), description="rounds", total=config.rounds):
            for arm in ARMS if turn % 2 else reversed(ARMS):
                pipes[arm].send(config.steps)
                times[arm].append(pipes[arm].recv())
        for arm in ARMS:
            pipes[arm].send(0)
            memory[arm] = pipes[arm].recv()
    except EOFError:
        raise UserError("an arm's process ended early; its message is above") from None
    finally:
        for worker in workers:
            worker.terminate()
    return {arm: seconds[1:] for arm, seconds in times.items()}, memory


def work(pipe: Connection, config: Config) -> None:
    """One arm's process: take as many steps as asked, answer with the mean milliseconds; 0 asks for memory."""
    from torch.optim import AdamW

    from projects.lora.scripts.train_lora import build, parameter_groups, read_corpus, training_step
    from shared.assets import load_encoder
    from shared.runs import peak_memory_mb
    from shared.seeding import seed_everything

    devices.use_all_cores()
    seed_everything(config.seed)
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    model = build(config, encoder, len(corpus.classes)).train()
    optimizer = AdamW(parameter_groups(config, model))
    # Every arm sees the same batches in the same order: the stream does not depend on the arm.
    batches = (
        batch for epoch in range(1000) for batch in corpus.train.shuffled(config.batch_size, seed=0, epoch=epoch)
    )
    before = peak_memory_mb()
    pipe.send("ready")
    while steps := pipe.recv():
        started = time.perf_counter()
        for _ in range(steps):
            training_step(config, model, optimizer, next(batches))
        pipe.send(1000 * (time.perf_counter() - started) / steps)
    peak = peak_memory_mb()
    pipe.send((peak, peak - before))


def summary(arm: Arm, times: dict[str, list[float]], memory: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Medians of one arm; the ratio is taken round by round, then its median and quartiles."""
    ratios = [mine / theirs for mine, theirs in zip(times["lora"], times[arm], strict=True)]
    q1, median, q3 = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    peak, growth = memory[arm]
    return {
        "arm": arm,
        "step_ms": round(statistics.median(times[arm]), 2),
        "lora_over_arm": round(median, 4),
        "ratio_q1": round(q1, 4),
        "ratio_q3": round(q3, 4),
        "peak_mb": round(peak, 1),
        "growth_mb": round(growth, 1),
    }


def save(config: BenchConfig, rows: list[dict[str, Any]]) -> None:
    """bench.csv with the rows, bench.json with what they were measured on, and the README's table."""
    devices.use_all_cores()
    write_csv(config.out / "bench.csv", rows)
    seal_table(config.out / "bench.csv", project="lora", key=team_key())
    details = {"rounds": config.rounds - 1, "steps": config.steps, "rank": config.train.rank}
    write_json(config.out / "bench.json", {**details, "batch": config.train.batch_size, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", bench_markdown(read_csv(config.out / "bench.csv")))


if __name__ == "__main__":
    command(main, BenchConfig)
