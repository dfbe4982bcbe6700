"""`make results-onnx_serving`: the runs behind the README's tables.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.onnx_serving.config import RUNS, Config
from projects.onnx_serving.training.train_qa import main as train
from shared.errors import command
from shared.runs import latest_checkpoint, read_json

SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all runs share."""
    runs: Path = RUNS / "results"
    """Where the runs are kept."""
    out: Path = Path("projects/onnx_serving/results")
    """Where the CSV files and figures go."""


def main(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Train the question-answering model with three seeds, write tables and figures."""
    return collect(config)


def collect(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Every run's row."""
    return [complete(config.runs, replace(config.base, seed=seed)) for seed in SEEDS]


def complete(runs: Path, cell: Config) -> dict[str, Any]:
    """Train a cell unless it is done. Returns its row."""
    name = f"qa-seed{cell.seed}"
    directory = runs / name
    if not (directory / "result.json").exists():
        resume = latest_checkpoint(directory) is not None
        if not resume:
            shutil.rmtree(directory, ignore_errors=True)
        print(f"{'resuming' if resume else 'training'} {name}", flush=True)
        train(replace(cell, out=directory, resume=resume))
    return {"cell": name, "seed": cell.seed, **read_json(directory / "result.json")}


if __name__ == "__main__":
    command(main, ExperimentConfig)
