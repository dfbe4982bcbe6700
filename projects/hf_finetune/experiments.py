"""`make results-hf_finetune`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, so the command can be stopped and started at will; one that was interrupted goes
on from its last checkpoint.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import Config
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.supervisor import Attempt, spawn, supervise
from projects.hf_finetune.training.train import fit
from shared.errors import command
from shared.runs import latest_checkpoint, read_json

SEEDS = (0, 1, 2, 3, 4)
RATES, GAMMAS, SHARES = (1e-4, 2e-4), (0.001, 0.005), (0.2, 0.6)
FAULTS = {
    "RuntimeError": "runtime@45@8",
    "MemoryError": "memory@45@8",
    "SIGKILL": "kill@45@8",
    "RLIMIT_AS": "rlimit@45@8",
}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config(limit=500, epochs=3)
    """What all runs share."""
    runs: Path = Path("runs/hf_finetune/results")
    """Where the runs are kept."""
    out: Path = Path("projects/hf_finetune/results")
    """Where the CSV files and figures go."""


def main(config: ExperimentConfig) -> None:
    """Choose rate, γ and p on validation with seed 0, repeat the four arms over five seeds, break runs on purpose."""
    rows = collect(config)
    broken = break_on_purpose(config, next(row["cell"] for row in rows if row["final"] and row["arm"] == "plain"))
    from projects.hf_finetune.provenance import publish

    publish(config.runs, config.out, rows, broken)


def collect(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Every run's row. The rows that the README's means are made of have final = 1."""
    rows: dict[str, dict[str, Any]] = {}

    def run(cell: Config, *, final: bool = False) -> dict[str, Any]:
        row = complete(config.runs, cell)
        rows[row["cell"]] = {**row, "final": int(final or rows.get(row["cell"], {}).get("final", 0))}
        return row

    def best(candidates: Iterable[Config]) -> Config:
        """The candidate that is best on validation; of equals the first."""
        return max(candidates, key=lambda each: run(each)["validation_macro_f1"])

    plain = best(replace(config.base, lr=rate) for rate in RATES)
    mixout = best(replace(plain, mixout=share) for share in SHARES)
    awp = best(replace(plain, awp=gamma) for gamma in GAMMAS)
    both = replace(plain, mixout=mixout.mixout, awp=awp.awp)
    for seed in SEEDS:
        for cell in (plain, mixout, awp, both):
            run(replace(cell, seed=seed), final=True)
    return list(rows.values())


def complete(runs: Path, cell: Config) -> dict[str, Any]:
    """Train a cell unless it is done. Returns its row."""
    name = cell_name(cell)
    directory = runs / name
    if not (directory / "result.json").exists():
        resume = latest_checkpoint(directory) is not None
        if not resume:
            shutil.rmtree(directory, ignore_errors=True)
        print(f"{'resuming' if resume else 'training'} {name}", flush=True)
        fit(Attempt(replace(cell, out=directory, resume=resume), cell.accumulation, resume))
    settings = {"arm": arm(cell), "lr": cell.lr, "awp": cell.awp, "mixout": cell.mixout, "seed": cell.seed}
    return {"cell": name, **settings, **read_json(directory / "result.json")}


def break_on_purpose(config: ExperimentConfig, cell: str) -> list[dict[str, Any]]:
    """The chosen plain run with seed 0 again, once for each way to run out of memory in the middle of an epoch."""
    rows = []
    chosen = read_json(config.runs / cell / "config.json")
    for kind, words in FAULTS.items():
        directory = config.runs / f"fault-{kind}"
        if not (directory / "result.json").exists():
            shutil.rmtree(directory, ignore_errors=True)
            print(f"breaking {directory.name}", flush=True)
            os.environ[FAULT] = words
            try:
                supervise(Config(**{**chosen, "save_every": 10, "out": directory}), spawn)
            finally:
                del os.environ[FAULT]
        rows.append({"fault": kind, "cell": directory.name, **read_json(directory / "result.json")})
    return rows


def arm(cell: Config) -> str:
    """What the tables call a run."""
    names = [name for name, on in (("AWP", cell.awp), ("mixout", cell.mixout)) if on]
    return " + ".join(names) or "plain"


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the experiments vary."""
    awp = f"-awp{cell.awp:g}" if cell.awp else ""
    mixout = f"-mixout{cell.mixout:g}" if cell.mixout else ""
    return f"lr{cell.lr:g}{awp}{mixout}-seed{cell.seed}"


if __name__ == "__main__":
    command(main, ExperimentConfig)
