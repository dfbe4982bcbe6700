"""Audit a run: restore one of its checkpoints (or its seed), take a few steps again, and compare with its log.

    python -m projects.lora.scripts.audit --run runs/lora/mine

A fingerprint shows that a log is the one that was written; this shows that what was written came from training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.optim import AdamW

from projects.lora.config import Config
from projects.lora.data import Batch, Corpus
from projects.lora.scripts.train_lora import build, parameter_groups, read_corpus, training_step
from shared import devices, optim
from shared.assets import load_encoder
from shared.errors import UserError, command
from shared.files import read_json
from shared.fingerprint import audit
from shared.progress import table
from shared.runs import open_checkpoint, restore
from shared.seeding import seed_everything
from shared.tensors import load_trainable


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """Replay a random short stretch of a run and compare its losses with the log."""

    run: Path
    """Directory of a run of train_lora; not one of the arm head, which takes no steps."""
    steps: int = 5
    """Optimizer steps to replay."""
    tolerance: float = 1e-3
    """Largest relative difference of a number; on another processor, sums are rounded in another order."""
    seed: int | None = None
    """Draws the stretch; by default nobody can know it before."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.steps < 1:
            raise UserError(f"--steps {self.steps}: must be at least 1")
        if not 0 < self.tolerance < 1:
            raise UserError(f"--tolerance {self.tolerance}: must be between 0 and 1")


def main(config: AuditConfig) -> audit.Audit:
    """Replay a random short stretch of a run and compare its losses with the log."""
    devices.use_all_cores()
    trained = run_config(config.run)

    def again(checkpoint: Path | None, steps: int) -> dict[int, dict[str, float]]:
        return replay(trained, checkpoint, steps)

    result = audit.audit(config.run, again, steps=config.steps, tolerance=config.tolerance, seed=config.seed)
    start = result.start.name if result.start else "the seed"
    span = f"{result.steps[0]} to {result.steps[-1]}"
    row = (result.finding.verdict.value, start, span, result.compared, f"{result.largest:.1e}", result.finding.detail)
    table("Audit", ["verdict", "from", "steps", "numbers", "largest difference", "found"], [row])
    if not result.finding.verdict.unchanged:
        raise UserError(f"{result.finding.path}: {result.finding.detail}")
    return result


def run_config(run: Path) -> Config:
    """The configuration that a run was made with.

    Raises:
        UserError: If it is not one of this project, or of an arm that takes no steps.
    """
    saved: dict[str, Any] = read_json(run / "config.json")
    known = {field.name for field in fields(Config)}
    if not isinstance(saved, dict) or saved.keys() - known or saved.get("arm") == "head":
        raise UserError(f"{run} is not a run of train_lora with steps to replay")
    return Config(**{**saved, "targets": tuple(saved["targets"])})


def replay(config: Config, checkpoint: Path | None, steps: int) -> dict[int, dict[str, float]]:
    """Step → loss, gradient norm and rate of the steps that followed a checkpoint (None: the seed)."""
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    corpus = read_corpus(config, tokenizer)
    seed_everything(config.seed)
    model = build(config, encoder, len(corpus.classes)).to(devices.pick(config.device))
    optimizer = AdamW(parameter_groups(config, model))
    total = -(-len(corpus.train) // config.batch_size) * config.epochs
    schedule = optim.linear_schedule(optimizer, total=total, warmup=config.warmup)
    step, epoch = 0, 0
    if checkpoint is not None:
        opened = open_checkpoint(checkpoint)

        def load(tensors: dict[str, torch.Tensor]) -> None:
            load_trainable(model, tensors)

        step, epoch = opened.body["step"], restore(opened, load, optimizer, schedule)["epoch"]
    found = {}
    model.train()
    for batch in islice(batches_from(config, corpus, epoch), steps):
        loss, grad_norm = training_step(config, model, optimizer, batch)
        schedule.step()
        step += 1
        found[step] = {"loss": loss, "grad_norm": grad_norm, "lr": float(schedule.get_last_lr()[0])}
    return found


def batches_from(config: Config, corpus: Corpus, epoch: int) -> Iterator[Batch]:
    """The batches of an epoch and of those after it, in the order of training."""
    for each in range(epoch, config.epochs):
        yield from corpus.train.shuffled_batches(config.batch_size, seed=config.seed, epoch=each)


if __name__ == "__main__":
    command(main, AuditConfig)
