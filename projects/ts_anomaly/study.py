"""`make results-ts_anomaly`: every run behind the README's tables, and what is shown of them.

Budget: about 50 core-minutes. With --only a part is done and no table written: several processes can share the work.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from projects.ts_anomaly import plots, tables, train
from projects.ts_anomaly.config import ARMS, RESULTS, Arm, Config
from projects.ts_anomaly.measure import alarms, explained, finance, injected, real, scale
from shared import study
from shared.errors import UserError, command
from shared.measured import write_means
from shared.study import Cells, Done, Item, log_items, publish

RATES = (1e-3, 3e-3)
SEEDS = (0, 1, 2)
JUDGE = ("logit",)
SHORT = tuple(name for name in real.SERIES if name not in injected.SERIES)
SHORT_STEPS = {"yahoo": 300, "uniDS": 100, "multiDS": 100}
ALARM_STEPS, ALARM_SEEDS = 300, 1
SHORT_ARMS: tuple[Arm, ...] = ("contrast", "masked")
ALARMS, SCALE = "alarms", "scale"


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/ts_anomaly/results")
    out: Path = RESULTS
    only: str = ""
    """A series to train and measure on, or alarms: nothing else is done, and no table is written. Or scale: speed and
    memory alone, into their tables, on a machine that does nothing else.
    """


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the false alarms depend on."""

    what: str
    seed: int
    weeks: int
    steps: int


@dataclass
class Study:
    """Cells of training, and the measurements of what they trained."""

    config: StudyConfig
    base: Config = Config()
    count: int = injected.COUNT
    weeks: int = alarms.WEEKS

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
        )

    def trained(self, arm: Arm, dataset: str) -> list[Done]:
        """With each seed: the better of two rates; on a series of 400 points to fit on, the first one and fewer
        steps.
        """
        base = replace(self.base, arm=arm, dataset=dataset)
        if dataset in SHORT:
            return self.cells.repeat(replace(base, steps=min(base.steps, SHORT_STEPS[dataset]), lr=RATES[0]), SEEDS)
        return self.cells.repeat(self.cells.best(replace(base, lr=rate) for rate in RATES), SEEDS)

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

    def real(self, datasets: tuple[str, ...]) -> dict[str, list[Done]]:
        """Measures on labelled series."""
        found = {
            name: [real.measure_baseline(name, each, self.config.runs) for each in datasets] for name in real.OTHERS
        }
        for arm in ARMS:
            wanted = [dataset for dataset in datasets if dataset not in SHORT or arm in SHORT_ARMS]
            every = [done for dataset in wanted for done in self.trained(arm, dataset)]
            found[arm] = [real.measure_trained(done, self.config.runs) for done in every]
        return found

    def alarms(self) -> list[Done]:
        """False alarms and delays, a cell a seed."""
        told = []
        for seed in SEEDS[:ALARM_SEEDS]:
            config = replace(self.base, steps=min(self.base.steps, ALARM_STEPS), seed=seed)
            asked = Asked(what=ALARMS, seed=seed, weeks=self.weeks, steps=config.steps)

            def take(config: Config = config) -> Iterator[Item]:
                for row in alarms.rows(config.seed, config, self.weeks):
                    numbers = {name: float(value) for name, value in asdict(row).items() if name != "method"}
                    yield numbers, {"method": row.method}

            place = self.config.runs / "measured" / f"alarms-seed{seed}"
            told.append(log_items(place, asked, take, project="ts_anomaly", data=None))
        return told


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart."""
    return f"{cell.arm}-{cell.dataset}-lr{cell.lr:g}-seed{cell.seed}"


def main(config: StudyConfig, run: Study | None = None) -> None:
    """Train, measure, write."""
    run = run or Study(config)
    if config.only:
        one(run, config.only)
        return
    found, labelled = run.injected(injected.SERIES), run.real(real.SERIES)
    rows, detailed = zip(*(injected.rows_of(name, group) for name, group in found.items()), strict=True)
    out = config.out
    publish(tables.CANDIDATES, [[done] for done in run.cells.all], out, "ts_anomaly")
    for name, table_rows in (
        ("injected", list(rows)),
        ("kinds", [row for each in detailed for row in each]),
        ("real", real.rows(labelled)),
        ("trick", real.trick_rows(labelled)),
        ("alarms", alarms.table_rows(run.alarms())),
        ("changes", finance.rows()),
        ("explained", explained.rows([done for done in run.cells.final if done.config.arm == "contrast"])),
    ):
        write_means(out / f"{name}.csv", table_rows, {"auc_pr"} if name == "injected" else set(), "ts_anomaly")
    finish(out)


def finish(out: Path) -> None:
    """Speed and memory, figures, tables."""
    scale.write(out)
    plots.main(out)
    study.finish(out, tables.views(out))


def one(run: Study, name: str) -> None:
    """A part of the work, for one of several processes."""
    if name == ALARMS:
        run.alarms()
    elif name == SCALE:
        finish(run.config.out)
    elif name in injected.SERIES + real.SERIES:
        if name in injected.SERIES:
            run.injected((name,))
        if name in real.SERIES:
            run.real((name,))
    else:
        raise UserError(
            f"--only {name}: must be {ALARMS}, {SCALE} or one of {', '.join({*injected.SERIES, *real.SERIES})}"
        )


if __name__ == "__main__":
    command(main, StudyConfig)
