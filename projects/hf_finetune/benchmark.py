"""`make bench-hf_finetune`: what AWP and mixout cost a training step, beside a plain one."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from projects.hf_finetune.config import ARMS, Config
from projects.hf_finetune.study import BENCH, RESULTS
from projects.hf_finetune.training.mixout import mixout_targets
from projects.hf_finetune.training.regularised import RegularisedTrainer
from projects.hf_finetune.training.train import load_model_and_data, make_trainer
from shared import devices
from shared.errors import command
from shared.interleave import Measured, Turns, in_turn, ratio, serve, spawned, step_ms
from shared.measured import publish_bench

BASE = Config(limit=500, device="cpu")
AWP, MIXOUT = 0.005, 0.6  # γ and p of the arms that have them; the cost does not depend on their size


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns):
    """Measure training steps of four arms in turn."""

    rounds: int = 16
    steps: int = 4
    out: Path = RESULTS


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare the step time and the peak memory of AWP, mixout and both with a plain step."""
    arms = {arm: replace(BASE, awp=AWP * ("AWP" in arm), mixout=MIXOUT * ("mixout" in arm)) for arm in ARMS}
    with spawned(work, arms) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": BASE.batch_size}
    return publish_bench(BENCH, [bench_row(arm, measured) for arm in ARMS], config.out, "hf_finetune", details)


def work(pipe: Connection, config: Config) -> None:
    """One arm's process."""
    devices.use_all_cores()
    model, tokenizer, data = load_model_and_data(config)
    with tempfile.TemporaryDirectory() as folder:
        told: dict[str, Any] = {"directory": Path(folder), "accumulation": 1, "targets": mixout_targets(model)}
        steps = training_steps(make_trainer(config, model, tokenizer, data, **told), config.max_norm)
        next(steps)
        serve(pipe.recv, pipe.send, lambda: next(steps))


def training_steps(trainer: RegularisedTrainer, max_norm: float) -> Iterator[None]:
    """Endless optimizer steps as the Trainer's loop takes them; every arm sees the same batches in the same order."""
    model, optimizer = trainer.model, trainer.create_optimizer()
    while True:
        batches = iter(trainer.get_train_dataloader())
        while (window := trainer.get_batch_samples(batches, 1, torch.device("cpu")))[0]:
            trainer.training_step(model, window[0][0], window[1])
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            model.zero_grad()
            yield


def bench_row(arm: str, measured: dict[str, Measured]) -> dict[str, Any]:
    """Medians of one arm, and its step time over a plain one."""
    over = ratio(measured, arm, "plain").columns("over_plain")
    return {"arm": arm, "step_ms": round(step_ms(measured[arm]), 2), **over, "peak_mb": round(measured[arm].peak_mb, 1)}


if __name__ == "__main__":
    command(main, BenchConfig)
