"""`make bench-hf_finetune`: what AWP and mixout cost a training step, beside a plain one.

Each arm lives in a process of its own, so that its peak memory is its own; the parent lets one arm at a time take a few
steps, round by round, so that a drift of the machine's speed touches all of them alike.
"""

import multiprocessing as mp
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import Config
from projects.hf_finetune.tables import ARMS, README, bench_markdown
from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.progress import table, track
from shared.report import put_into_readme, read_csv, write_csv

RESULTS = Path("projects/hf_finetune/results")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure training steps of four arms in turn."""

    train: Config = Config(limit=500, device="cpu")
    """What to train; γ and p are replaced."""
    awp: float = 0.005
    """γ of the arms with AWP; the cost does not depend on it."""
    mixout: float = 0.6
    """p of the arms with mixout; the cost does not depend on it."""
    rounds: int = 16
    """How often each arm has its turn."""
    steps: int = 4
    """Steps in a turn; the first round is warm-up and is not counted."""
    out: Path = RESULTS
    """Where bench.csv and bench.json go."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.rounds < 3 or self.steps < 1:
            raise UserError("--rounds must be at least 3 (the first is warm-up) and --steps at least 1")


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of AWP, mixout and both with a plain step."""
    times, memory = measure(config)
    rows = [summary(arm, times, memory[arm]) for arm in ARMS]
    table(
        f"{config.rounds - 1} rounds of {config.steps} steps, batch {config.train.batch_size}",
        ["step", "ms (median)", "/ plain (median)", "its quartiles", "peak memory"],
        [
            (
                row["arm"],
                f"{row['step_ms']:.1f}",
                f"{row['over_plain']:.3f}",
                f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
                f"{row['peak_mb']:.0f} MB",
            )
            for row in rows
        ],
    )
    save(config, rows)
    return rows


def arm_config(config: BenchConfig, arm: str) -> Config:
    """The training configuration of an arm."""
    return replace(
        config.train,
        awp=config.awp if "AWP" in arm else 0.0,
        mixout=config.mixout if "mixout" in arm else 0.0,
    )


def measure(config: BenchConfig) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds a step, round by round, and peak memory in MB, by arm."""
    context = mp.get_context("spawn")  # a fork would inherit the parent's memory and count it
    pipes: dict[str, Connection] = {}
    workers = []
    for arm in ARMS:
        pipes[arm], far_end = context.Pipe()
        workers.append(context.Process(target=work, args=(far_end, arm_config(config, arm)), daemon=True))
        workers[-1].start()
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    memory: dict[str, float] = {}
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
    from shared.runs import peak_memory_mb

    devices.use_all_cores()
    with tempfile.TemporaryDirectory() as folder:
        steps = training_steps(config, folder)
        next(steps)
        pipe.send("ready")
        while count := pipe.recv():
            started = time.perf_counter()
            for _ in range(count):
                next(steps)
            pipe.send(1000 * (time.perf_counter() - started) / count)
        pipe.send(peak_memory_mb())


def training_steps(config: Config, folder: str) -> Iterator[None]:
    """Endless optimizer steps as the Trainer's loop takes them: window, step, clipping, update.

    Every arm sees the same batches in the same order.
    """
    import torch
    from transformers import DataCollatorWithPadding

    from projects.hf_finetune.data.preprocess import prepare
    from projects.hf_finetune.training.mixout import targets_of
    from projects.hf_finetune.training.models import load_classifier, load_tokenizer
    from projects.hf_finetune.training.regularised import RegularisedTrainer
    from projects.hf_finetune.training.trainer_config import training_arguments
    from shared.seeding import seed_everything

    seed_everything(config.seed)
    tokenizer = load_tokenizer(config.model, max_length=config.max_length)
    data = prepare(config, tokenizer)
    model = load_classifier(config.model, data.classes, max_length=config.max_length)
    trainer = RegularisedTrainer(
        awp=config.awp,
        mixout=config.mixout,
        targets=targets_of(model),
        model=model,
        args=training_arguments(config, directory=folder, accumulation=1),
        train_dataset=data.splits["train"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        eval_dataset=data.splits["validation"],
    )
    optimizer = trainer.create_optimizer()
    while True:
        batches = iter(trainer.get_train_dataloader())
        while True:
            window, items = trainer.get_batch_samples(batches, 1, torch.device("cpu"))
            if not window:
                break
            trainer.training_step(model, window[0], items)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
            optimizer.step()
            model.zero_grad()
            yield


def summary(arm: str, times: dict[str, list[float]], peak: float) -> dict[str, Any]:
    """Medians of one arm; the ratio is taken round by round, then its median and quartiles."""
    ratios = [mine / plain for mine, plain in zip(times[arm], times["plain"], strict=True)]
    q1, median, q3 = statistics.quantiles(ratios, n=4)
    return {
        "arm": arm,
        "step_ms": round(statistics.median(times[arm]), 2),
        "over_plain": round(median, 4),
        "ratio_q1": round(q1, 4),
        "ratio_q3": round(q3, 4),
        "peak_mb": round(peak, 1),
    }


def save(config: BenchConfig, rows: list[dict[str, Any]]) -> None:
    """bench.csv with the rows, bench.json with what they were measured on, and the README's table."""
    devices.use_all_cores()
    write_csv(config.out / "bench.csv", rows)
    seal_table(config.out / "bench.csv", project="hf_finetune", key=team_key())
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": config.train.batch_size}
    write_json(config.out / "bench.json", {**details, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", bench_markdown(read_csv(config.out / "bench.csv")))


if __name__ == "__main__":
    command(main, BenchConfig)
