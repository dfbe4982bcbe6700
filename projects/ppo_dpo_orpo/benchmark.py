"""`make bench-ppo_dpo_orpo`: time and memory of a DPO step, ours beside TRL's, what the kept states and what PEFT save.

Every arm trains on the same pairs in the same order with as many threads, in a process of its own, in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.optim import AdamW
from tyro.conf import Suppress

from projects.ppo_dpo_orpo.analysis.shown import BENCH
from projects.ppo_dpo_orpo.config import Config
from projects.ppo_dpo_orpo.policies import Policy
from projects.ppo_dpo_orpo.prepare import Prepared, new_policy, prepare
from projects.ppo_dpo_orpo.study import RESULTS
from projects.ppo_dpo_orpo.train_preference import batch_rows, preference_loss
from projects.ppo_dpo_orpo.trl_trainer import dpo_trainer
from shared import devices, optim
from shared.errors import command
from shared.files import refuse_unwritable
from shared.interleave import Turns, bench_rows, in_turn, serve, spawned
from shared.measured import publish_bench
from shared.seeding import seed_everything

ARMS = ("ours", "without kept states", "bottlenecks", "TRL", "TRL, reference kept", "full")


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns, Config):
    """Measure a DPO step of six arms in turn."""

    method: Suppress[str] = "dpo"  # type: ignore[assignment]
    resume: Suppress[bool] = False
    sampled: int = 64
    test_pairs: int = 8
    pairs: int = 64
    held_out: int = 2
    rounds: int = 8
    steps: int = 2  # of a turn
    out: Path = RESULTS


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare a DPO step of ours with TRL's, with full fine-tuning, and with ours without the kept states."""
    refuse_unwritable(config.out)
    prepare(config)  # here, what cannot work ends in one line; and the pairs are made once
    with spawned(work, {arm: (arm, config) for arm in ARMS}) as workers:
        measured = in_turn(workers, rounds=config.rounds, steps=config.steps)
    rows = bench_rows(measured, "ours")
    for row, arm in zip(rows, ARMS, strict=True):
        trained = optim.count_parameters(policy_of(arm, config))[0]
        row |= {"memory": round(rows[0]["peak_mb"] / row["peak_mb"], 3), "trained": trained, "stored": 4 * trained}
    details = {"batch": config.batch_size, "tokens": config.tokens}
    return publish_bench(BENCH, rows, config.out, "ppo_dpo_orpo", details)


def policy_of(arm: str, config: Config) -> Policy:
    """An arm's policy: all of it trained, or its adapters."""
    seed_everything(config.seed)
    policy, _ = new_policy(replace(config, kind="adapter" if arm == "bottlenecks" else "lora"))
    if arm == "full":
        policy.requires_grad_(True)
        for parameter in (p for name, p in policy.named_parameters() if "lora_" in name):
            parameter.requires_grad_(False)
    return policy


def work(pipe: Connection, told: tuple[str, BenchConfig]) -> None:
    """One arm's process."""
    arm, config = told
    devices.use_all_cores()
    prepared = prepare(config)
    with TemporaryDirectory() as folder:
        serve(pipe.recv, pipe.send, stepper(arm, config, policy_of(arm, config), prepared, Path(folder)))


def stepper(arm: str, config: Config, policy: Policy, prepared: Prepared, folder: Path) -> Callable[[], object]:
    """A function that takes one optimizer step."""
    training, numbers, pad = prepared.training(config), count(1), prepared.tokenizer.pad_token_id
    rows = (batch_rows(len(training.pairs), config.batch_size, config.seed, step) for step in numbers)
    if arm.startswith("TRL"):
        every = [row for _ in range(200) for row in next(rows)]
        trainer = dpo_trainer(replace(config, steps=200), policy, prepared, training, every, folder, kept=arm != "TRL")
        batches = iter(trainer.get_train_dataloader())
        trainer.create_optimizer_and_scheduler(200)
        return lambda: optim.step(trainer.optimizer, trainer.compute_loss(trainer.model, next(batches)), max_norm=1.0)
    optimizer = AdamW([p for p in policy.parameters() if p.requires_grad], lr=config.lr)

    def step() -> float:
        chosen = next(rows)
        batch = training.batch(chosen, pad)
        if arm in ("without kept states", "full"):
            batch = replace(batch, states=None)
        loss, _ = preference_loss(config, policy, batch, training.reference[chosen], 1.0)
        return optim.step(optimizer, loss, max_norm=1.0)

    return step


if __name__ == "__main__":
    command(main, BenchConfig)
