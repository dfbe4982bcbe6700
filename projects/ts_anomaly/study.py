"""`make results-ts_anomaly`: every run behind the README's tables, and what is shown of them.

Budget: about 70 core-minutes. With --only a part is done and no table written: several processes can share the work.
What was stopped goes on cell by cell; speed and load that were measured are not measured again, but with --only.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from projects.ts_anomaly import plots, tables, train
from projects.ts_anomaly.config import ARMS, RESULTS, Arm, Config
from projects.ts_anomaly.learned import digest
from projects.ts_anomaly.measure import (
    alarms,
    explained,
    finance,
    injected,
    levels,
    load,
    mixing,
    real,
    rolling,
    scale,
    worst,
)
from shared import study
from shared.errors import UserError, command
from shared.measured import write_means, write_measured
from shared.study import Cells, Done, Item, log_items, publish

RATES = (1e-3, 3e-3)
SEEDS = (0, 1, 2)
JUDGE = ("logit",)
SHORT = tuple(name for name in real.SERIES if name not in injected.SERIES)
SHORT_STEPS = {"yahoo": 300, "uniDS": 100, "multiDS": 100}
FEW = 300  # steps where a training is repeated often
SHORT_ARMS: tuple[Arm, ...] = ("contrast", "masked")
PARTS = ("rolling", "mixing", "levels")
SPEED = ("scale", "load")
ALONE = (*SPEED, "alarms")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/ts_anomaly/results")
    out: Path = RESULTS
    only: str = ""
    """A series to train and measure on, or rolling, mixing, levels: nothing else is done, and no table is written. Or
    alarms, or scale (speed and memory) or load (the server) on a machine that does nothing else, into their tables.
    """


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the false alarms depend on."""

    what: str
    seed: int
    weeks: int
    steps: int
    memories: tuple[int, ...]


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
            lambda cell: digest(cell.dataset),
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

    def repeated(self, config: Config) -> list[Done]:
        """With each seed, at the rate that is there."""
        return self.cells.repeat(config, SEEDS)

    def rolling(self) -> rolling.Found:
        """Trials at rolling origins."""
        base = replace(self.base, steps=min(self.base.steps, FEW))
        return rolling.measure(self.repeated, base, self.config.runs, min(self.count, rolling.COUNT))

    def mixing(self) -> mixing.Found:
        """Channels alone and mixed."""
        short = replace(self.base, steps=min(self.base.steps, SHORT_STEPS[mixing.LABELLED]), lr=RATES[0])
        return mixing.measure(self.repeated, self.base, short, self.config.runs, self.count)

    def levels(self) -> dict[str, list[Done]]:
        """Thresholds without labels of every detector, and what they find on labelled series."""
        every, runs = dict.fromkeys((*injected.SERIES, *real.SERIES)), self.config.runs
        found = {name: [levels.of_baseline(name, each, runs) for each in every] for name in injected.BASELINES}
        found[real.ETS] = [levels.of_baseline(real.ETS, each, runs) for each in real.SERIES]
        for arm in ARMS:
            wanted = [each for each in every if each not in SHORT or arm in SHORT_ARMS]
            trained = [done for dataset in wanted for done in self.trained(arm, dataset)]
            found[arm] = [levels.of_trained(done, runs) for done in trained]
            if arm == "contrast":
                own = [done for done in trained if done.config.dataset in injected.SERIES]
                found["judge"] = [levels.of_trained(done, runs, heads=JUDGE) for done in own]
        return found

    def alarms(self) -> list[Done]:
        """False alarms and delays, a cell a seed."""
        told = []
        for seed in SEEDS:
            config = replace(self.base, steps=min(self.base.steps, FEW), seed=seed)
            asked = Asked(
                what="alarms", seed=seed, weeks=self.weeks, steps=config.steps, memories=tuple(alarms.AGAIN.values())
            )

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
    found, labelled, limits = run.injected(injected.SERIES), run.real(real.SERIES), run.levels()
    rows, detailed = zip(*(injected.rows_of(name, group) for name, group in found.items()), strict=True)
    out, contrast = config.out, [done for done in run.cells.final if done.config.arm == "contrast"]
    publish(tables.CANDIDATES, [[done] for done in run.cells.all], out, "ts_anomaly")
    main_ones = [done for done in contrast if done.config.dataset in injected.SERIES]
    for name, table_rows in (
        ("injected", list(rows)),
        ("kinds", [row for each in detailed for row in each]),
        ("judged", [levels.row_of(name, group, limits[name]) for name, group in found.items()]),
        ("real", real.rows(labelled)),
        ("real_judged", levels.real_rows({name: group for name, group in limits.items() if name != "judge"})),
        ("trick", real.trick_rows(labelled)),
        ("worst", worst.rows(main_ones, limits["contrast"], run.count)),
        ("changes", finance.rows()),
        ("explained", explained.rows(contrast)),
        ("rolling", rolling.rows(run.rolling())),
        ("mixing", mixing.rows(run.mixing())),
    ):
        write_means(out / f"{name}.csv", table_rows, {"auc_pr"} if name == "injected" else set(), "ts_anomaly")
    table_of(run, "alarms")
    for name in SPEED:
        if not (out / f"{name}.csv").exists():
            table_of(run, name)
    plots.main(out)
    study.finish(out, tables.views(out))


def table_of(run: Study, name: str) -> None:
    """False alarms, or points a second and memory of the default model, or what the server does under load."""
    out = run.config.out
    if name == "alarms":
        write_means(out / "alarms.csv", alarms.table_rows(run.alarms()), set(), "ts_anomaly")
    elif name == "load":
        config = replace(run.base, dataset="mitdb", steps=min(run.base.steps, FEW))
        served = run.cells.run(config).directory
        assert served is not None
        write_measured(out / "load.csv", load.rows(served), "ts_anomaly", config)
    else:
        scale.write(out)


def one(run: Study, name: str) -> None:
    """A part of the work, for one of several processes."""
    if name in PARTS:
        getattr(run, name)()
    elif name in ALONE:
        table_of(run, name)
        plots.main(run.config.out)
        study.finish(run.config.out, tables.views(run.config.out))
    elif name in injected.SERIES + real.SERIES:
        run.injected(tuple({name} & set(injected.SERIES)))
        run.real(tuple({name} & set(real.SERIES)))
    else:
        known = dict.fromkeys((*PARTS, *ALONE, *injected.SERIES, *real.SERIES))
        raise UserError(f"--only {name}: must be one of {', '.join(known)}")


if __name__ == "__main__":
    command(main, StudyConfig)
