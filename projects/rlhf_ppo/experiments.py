"""`make results-rlhf_ppo`: every run behind the README's tables.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. `--arm free` trains one arm only, and two arms may train at once; without it all are
trained, and tables and figures are made. The arms differ in the penalty, and one in its length.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from projects.rlhf_ppo import tables
from projects.rlhf_ppo.analysis import metrics_rl
from projects.rlhf_ppo.config import Config
from projects.rlhf_ppo.train_rlhf import main as train
from projects.rlhf_ppo.train_rlhf import prompts_digest
from shared import study
from shared.errors import command
from shared.files import write_json
from shared.runs import describe_environment

ARMS: dict[str, dict[str, Any]] = {
    "target": {"beta": 0.2, "kl_target": 6.0},
    "free": {"beta": 0.0, "kl_target": None},
    "long": {"beta": 0.0, "kl_target": None, "iterations": 50, "kl_limit": 1000.0},
}
SEEDS: dict[str, tuple[int, ...]] = {"target": (0, 1, 2), "free": (0,), "long": (1,)}
BASE = Config(pairs=1200, iterations=25, held_out=128)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    arm: Literal["target", "free", "long", "all"] = "all"
    """One arm, or all of them with tables and figures."""
    base: Config = BASE
    """What all runs share."""
    runs: Path = Path("runs/rlhf_ppo/results")
    """Where the runs are kept."""
    out: Path = tables.RESULTS
    """Where the CSV files and figures go."""


def main(config: ExperimentConfig) -> None:
    """Train each arm with its seeds, then write tables and figures."""
    planned = [(arm, seed) for arm in ARMS for seed in SEEDS[arm] if config.arm in (arm, "all")]
    # By seed, so that a sweep cut short has every arm.
    done = {cell: complete(config, *cell) for cell in sorted(planned, key=lambda cell: cell[1])}
    if config.arm != "all":
        return
    cells = [(arm, seed, done[arm, seed]) for arm, seed in planned]
    tables.write(config.base, cells, config.out)
    write_json(config.out / "environment.json", describe_environment())
    metrics_rl.main(metrics_rl.PlotConfig(results=config.out))
    if config.out == tables.RESULTS:
        tables.put_into_readme()


def complete(config: ExperimentConfig, arm: str, seed: int) -> Path:
    """The directory of a finished cell; its samples are what it writes last."""
    cell = replace(config.base, **ARMS[arm], seed=seed)
    return study.complete(
        config.runs / cell_name(arm, seed),
        cell,
        lambda place, resume: train(replace(cell, out=place, resume=resume)),
        project="rlhf_ppo",
        data=prompts_digest(cell),
        last="held_out/samples.jsonl",
    )


def cell_name(arm: str, seed: int) -> str:
    """A name that tells two cells apart."""
    return f"{arm}-seed{seed}"


if __name__ == "__main__":
    command(main, ExperimentConfig)
