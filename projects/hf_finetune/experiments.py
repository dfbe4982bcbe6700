"""`make results-hf_finetune`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import SMOKE, Config
from projects.hf_finetune.provenance import SAMPLE, publish
from projects.hf_finetune.tables import README
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.supervisor import Attempt, spawn, supervise
from projects.hf_finetune.training.train import fit
from shared.errors import UserError, command
from shared.runs import latest_checkpoint, read_json

RATES, GAMMAS, SHARES = (1e-4, 2e-4, 4e-4), (0.0001, 0.001, 0.005), (0.2, 0.6)
# How memory runs out before step 45, the 13th of the second epoch, while a micro-batch holds more than 8 sentences.
FAULTS = {"RuntimeError": "runtime", "MemoryError": "memory", "SIGKILL": "kill", "RLIMIT_AS": "rlimit"}
WHERE = "@45@8"


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config(limit=500, epochs=3)
    """What all runs share."""
    seeds: int = 5
    """How many seeds each arm has."""
    most: int | None = None
    """Stop after so many new runs, and publish nothing; the command goes on from there."""
    runs: Path = Path("runs/hf_finetune/results")
    """Where the runs are kept."""
    out: Path = Path("projects/hf_finetune/results")
    """Where the CSV files and figures go."""
    readme: Path = README
    """Whose tables are rewritten."""


def main(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Choose rate, γ and p on validation with seed 0, break runs on purpose, repeat the four arms over the seeds."""
    cells = Cells(config)
    arms = cells.choose()
    broken = [cells.broken(arms[0], kind) for kind in FAULTS]
    for seed in range(config.seeds):
        for cell in arms:
            cells.run(replace(cell, seed=seed), final=True)
    cells.sample()
    rows = list(cells.rows.values())
    publish(config.runs, config.out, config.readme, rows, broken)
    return rows


class Cells:
    """The runs, each trained at most once, by the name of its cell."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.rows: dict[str, dict[str, Any]] = {}
        self.new = 0

    def choose(self) -> list[Config]:
        """The four arms with what was best on validation with seed 0: plain, mixout, AWP, both."""

        def best(candidates: Iterable[Config]) -> Config:
            return max(candidates, key=lambda each: self.run(each)["validation_macro_f1"])  # of equals the first

        plain = best(replace(self.config.base, lr=rate) for rate in RATES)
        mixout = best(replace(plain, mixout=share) for share in SHARES)
        awp = best(replace(plain, awp=gamma) for gamma in GAMMAS)
        return [plain, mixout, awp, replace(plain, mixout=mixout.mixout, awp=awp.awp)]

    def run(self, cell: Config, *, final: bool = False) -> dict[str, Any]:
        """Train a cell unless it is done. Returns its row; the rows that the README's means are made of have final."""
        name = cell_name(cell)
        directory = self.config.runs / name
        if not (directory / "result.json").exists():
            resume = latest_checkpoint(directory) is not None
            if not resume:
                shutil.rmtree(directory, ignore_errors=True)
            self.announce(f"{'resuming' if resume else 'training'} {name}")
            fit(Attempt(replace(cell, out=directory, resume=resume), cell.accumulation, resume))
        settings = {"arm": arm(cell), "lr": cell.lr, "awp": cell.awp, "mixout": cell.mixout, "seed": cell.seed}
        chosen = int(final or self.rows.get(name, {}).get("final", 0))
        self.rows[name] = {"cell": name, **settings, **read_json(directory / "result.json"), "final": chosen}
        return self.rows[name]

    def broken(self, cell: Config, kind: str) -> dict[str, Any]:
        """The cell once more, in a process that runs out of memory in one of the ways of FAULTS. Returns its row."""
        directory = self.config.runs / f"fault-{kind}"
        if not (directory / "result.json").exists():
            shutil.rmtree(directory, ignore_errors=True)
            self.announce(f"breaking {directory.name}")
            os.environ[FAULT] = FAULTS[kind] + WHERE
            try:
                supervise(replace(cell, save_every=10, out=directory), spawn)
            finally:
                del os.environ[FAULT]
        return {"fault": kind, "cell": directory.name, **read_json(directory / "result.json")}

    def sample(self) -> None:
        """A run of a few steps, whose log and events are kept beside the results."""
        directory = self.config.runs / SAMPLE
        if not (directory / "result.json").exists() and not (self.config.out / "sample_run").exists():
            shutil.rmtree(directory, ignore_errors=True)
            self.announce("training the sample")
            fit(Attempt(replace(SMOKE, out=directory), SMOKE.accumulation, resume=False))

    def announce(self, what: str) -> None:
        """Say what is begun, or end if that is one more than was asked for."""
        if self.config.most is not None and self.new >= self.config.most:
            raise UserError(f"{self.new} new runs done, as asked by --most; the same command goes on")
        self.new += 1
        print(what, flush=True)


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
