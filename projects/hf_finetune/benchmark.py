"""`make bench-hf_finetune`: what AWP and mixout cost a training step, beside a plain one.

Each arm lives in a process of its own and takes a few steps in turn with the others (shared/interleave.py).
"""

import tempfile
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import ARMS, Config
from projects.hf_finetune.study import BENCH, RESULTS
from shared import devices
from shared.errors import command
from shared.interleave import Measured, in_turn, ratio, serve, spawned, step_ms
from shared.study import publish_bench


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
    rows = [bench_row(arm, measured) for arm in ARMS]
    details = {"rounds": config.rounds - 1, "steps": config.steps, "batch": config.train.batch_size}
    return publish_bench(BENCH, rows, config.out, "hf_finetune", details)


def arm_config(config: BenchConfig, arm: str) -> Config:
    """The training configuration of an arm."""
    return replace(
        config.train,
        awp=config.awp if "AWP" in arm else 0.0,
        mixout=config.mixout if "mixout" in arm else 0.0,
    )


def work(pipe: Connection, config: Config) -> None:
    """One arm's process."""
    from projects.hf_finetune.training.steps import training_steps

    devices.use_all_cores()
    with tempfile.TemporaryDirectory() as folder:
        steps = training_steps(config, folder)
        next(steps)
        serve(pipe.recv, pipe.send, lambda: next(steps))


def bench_row(arm: str, measured: dict[str, Measured]) -> dict[str, Any]:
    """Medians of one arm, and its step time over a plain one."""
    mine, over = measured[arm], ratio(measured, arm, "plain")
    row = {"arm": arm, "step_ms": round(step_ms(mine), 2), "over_plain": round(over.median, 4)}
    row |= {"ratio_q1": round(over.q1, 4), "ratio_q3": round(over.q3, 4)}
    return {**row, "peak_mb": round(mine.peak_mb, 1)}


if __name__ == "__main__":
    command(main, BenchConfig)
