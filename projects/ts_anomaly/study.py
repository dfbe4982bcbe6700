"""`make results-ts_anomaly`: every run behind the README's tables, and what is shown of them.

Budget in core-seconds: 48 trainings of 600 steps 1,000; trials 500; real series 300; false alarms, change points and the
explanation's test 150: about 35 minutes on one core. With --only it trains and measures one series and writes no table, so
that several processes can share the work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from projects.ts_anomaly import train
from projects.ts_anomaly.config import ARMS, RESULTS, Arm, Config
from projects.ts_anomaly.measure import injected
from shared import study
from shared.errors import UserError, command
from shared.study import Cells, Done

RATES = (1e-3, 3e-3)
SEEDS = (0, 1, 2)
JUDGE = ("logit",)


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/ts_anomaly/results")
    out: Path = RESULTS
    only: str = ""
    """A series: train and measure on it, and write nothing else."""


@dataclass
class Study:
    """Cells of training, and the measurements of what they trained."""

    config: StudyConfig
    base: Config = Config()
    count: int = injected.COUNT

    @cached_property
    def cells(self) -> Cells:
        """The trained ones."""
        return Cells(
            self.config.runs,
            train.main,
            "ts_anomaly",
            cell_name,
            lambda cell: train.digest(cell.dataset),
            by="validation_auc_pr",
            last=train.RESULT,
            expected=48,
        )

    def candidates(self, arm: Arm, dataset: str) -> Iterator[Config]:
        """As many for every arm."""
        for rate in RATES:
            yield replace(self.base, arm=arm, dataset=dataset, lr=rate)

    def trained(self, arm: Arm, dataset: str) -> list[Done]:
        """The better rate, with each seed."""
        return self.cells.repeat(self.cells.best(self.candidates(arm, dataset)), SEEDS)

    def injected(self, datasets: tuple[str, ...]) -> dict[str, list[Done]]:
        """Trials of every detector."""
        found: dict[str, list[Done]] = {}
        runs, count = self.config.runs, self.count
        for dataset in datasets:
            for name in injected.BASELINES:
                found.setdefault(name, []).append(injected.measure_baseline(name, dataset, runs, count))
            for arm in ARMS:
                for done in self.trained(arm, dataset):
                    found.setdefault(arm, []).append(injected.measure_trained(done, runs, count=count))
                    if arm == "contrast":
                        own = injected.measure_trained(done, runs, heads=JUDGE, count=count)
                        found.setdefault("judge", []).append(own)
        return found


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart."""
    return f"{cell.arm}-{cell.dataset}-lr{cell.lr:g}-seed{cell.seed}"


def main(config: StudyConfig, run: Study | None = None) -> None:
    """Train, measure, write."""
    run = run or Study(config)
    if config.only:
        if config.only not in injected.SERIES:
            raise UserError(f"--only {config.only}: must be one of {', '.join(injected.SERIES)}")
        run.injected((config.only,))
        return
    found = run.injected(injected.SERIES)
    rows: list[dict[str, Any]] = []
    for name, group in found.items():
        row, _ = injected.rows_of(name, group)
        rows.append(row)
        print(name, {key: value for key, value in row.items() if key != "of"}, flush=True)


if __name__ == "__main__":
    command(main, StudyConfig)
