"""`make bench-hf_finetune`: what AWP and mixout cost a training step, beside a plain one.

Each arm lives in a process of its own and takes a few steps in turn with the others (shared/interleave.py).
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import Config
from projects.hf_finetune.tables import ARMS, README, bench_markdown
from shared import devices
from shared.errors import command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import Measured, in_turn, ratio, serve, spawned, step_ms
from shared.progress import table
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


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of AWP, mixout and both with a plain step."""
    with spawned(work, {arm: arm_config(config, arm) for arm in ARMS}) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    rows = [summary(arm, measured) for arm in ARMS]
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


def work(pipe: Connection, config: Config) -> None:
    """One arm's process."""
    devices.use_all_cores()
    with tempfile.TemporaryDirectory() as folder:
        steps = training_steps(config, folder)
        next(steps)
        serve(pipe.recv, pipe.send, lambda: next(steps))


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


def summary(arm: str, measured: dict[str, Measured]) -> dict[str, Any]:
    """Medians of one arm, and its step time over a plain one."""
    mine, over = measured[arm], ratio(measured, arm, "plain")
    return {
        "arm": arm,
        "step_ms": round(step_ms(mine), 2),
        "over_plain": round(over.median, 4),
        "ratio_q1": round(over.q1, 4),
        "ratio_q3": round(over.q3, 4),
        "peak_mb": round(mine.peak_mb, 1),
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
