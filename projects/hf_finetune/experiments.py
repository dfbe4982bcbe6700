"""`make results-hf_finetune`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import SMOKE, Config
from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.provenance import SAMPLE, publish
from projects.hf_finetune.tables import README
from projects.hf_finetune.training.callbacks import FAULT
from projects.hf_finetune.training.models import load_tokenizer
from projects.hf_finetune.training.supervisor import Attempt, spawn, supervise
from projects.hf_finetune.training.train import fit
from shared import study
from shared.errors import UserError, command
from shared.runs import read_json

RATES, GAMMAS, SHARES = (1e-4, 2e-4, 4e-4), (0.0001, 0.001, 0.005), (0.2, 0.6)
# How memory runs out before step 45, the 13th of the second epoch, while a micro-batch holds more than 8 sentences.
FAULTS = {"RuntimeError": "runtime", "MemoryError": "memory", "SIGKILL": "kill", "RLIMIT_AS": "rlimit"}
WHERE = "@45@8"
OF_THE_DATA = ("model", "max_length", "dataset", "limit", "text_column", "label_column", "scores", "neutral_band")


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
        directory = self.complete(cell_name(cell), cell, lambda place, resume: self.fit(cell, place, resume))
        name = directory.name
        settings = {"arm": arm(cell), "lr": cell.lr, "awp": cell.awp, "mixout": cell.mixout, "seed": cell.seed}
        chosen = int(final or self.rows.get(name, {}).get("final", 0))
        self.rows[name] = {"cell": name, **settings, **read_json(directory / "result.json"), "final": chosen}
        return self.rows[name]

    def complete(self, name: str, cell: Config, train: Callable[[Path, bool], object]) -> Path:
        """The directory of a finished cell."""
        described, data = replace(cell, memory_gb=None), data_digest_of(cell)
        return study.complete(self.config.runs / name, described, train, project="hf_finetune", data=data)

    def fit(self, cell: Config, place: Path, resume: bool) -> None:
        """Train a cell in this process."""
        self.count()
        fit(Attempt(replace(cell, out=place, resume=resume), cell.accumulation, resume))

    def broken(self, cell: Config, kind: str) -> dict[str, Any]:
        """The cell once more, in a process that runs out of memory in one of the ways of FAULTS. Returns its row."""

        def break_it(place: Path, resume: bool) -> None:
            self.count()
            os.environ[FAULT] = FAULTS[kind] + WHERE
            try:
                supervise(replace(cell, save_every=10, out=place, resume=resume), spawn)
            finally:
                del os.environ[FAULT]

        directory = self.complete(f"fault-{kind}", replace(cell, save_every=10), break_it)
        return {"fault": kind, "cell": directory.name, **read_json(directory / "result.json")}

    def sample(self) -> None:
        """A run of a few steps, whose log and events are kept beside the results."""
        if not (self.config.out / "sample_run").exists():
            self.complete(SAMPLE, SMOKE, lambda place, resume: self.fit(SMOKE, place, resume))

    def count(self) -> None:
        """Count a new run, or end if that is one more than was asked for."""
        if self.config.most is not None and self.new >= self.config.most:
            raise UserError(f"{self.new} new runs done, as asked by --most; the same command goes on")
        self.new += 1


def data_digest_of(config: Config) -> str:
    """Digest of the texts and labels that a cell learns from."""
    return _digest(Config(**{name: getattr(config, name) for name in OF_THE_DATA}))


@cache
def _digest(config: Config) -> str:
    return prepare(config, load_tokenizer(config.model, max_length=config.max_length)).digest


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
