"""`make results-adapters`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. What each table shows is declared below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from projects.adapters import init_study, peers
from projects.adapters.arms import ARMS, corpus_digest
from projects.adapters.config import BENCH_NAMES, FULL, Config, method
from projects.adapters.convergence import curve, time_to_reach
from projects.adapters.ner import LEVELS
from projects.adapters.train import main as train
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import pooled
from shared.fingerprint.results import seal_table
from shared.report import put_tables, read_csv, spread, write_csv
from shared.runs import describe_environment
from shared.study import (
    Cells,
    Column,
    Done,
    Group,
    Table,
    best,
    grouped,
    last,
    mean_sd,
    only_shown,
    origin,
    plain,
    publish,
    settings,
)

RESULTS = Path("projects/adapters/results")
SEEDS = (0, 1, 2)
OTHER_BOTTLENECKS = (8,)
TEXTS, TAGGED = ("trec", "movie_reviews"), tuple(f"ner-{level}" for level in LEVELS)
TASKS = ("trec", "movie_reviews", "ner", "baselines")

# Candidates of each arm, tried with seed 0 and judged on validation; the library has those of the bottleneck adapters.
RATES = {
    "bottleneck": (1e-3, 3e-3),
    "parallel": (3e-4, 1e-3),
    "full": (1e-4, 2e-4),
    "lora": (5e-4, 1e-3),
    "scratch": (2e-4, 5e-4),
}
OWN = ("full", "bottleneck", "parallel")  # compared on every task; the others are baselines
# The movie reviews are cut to the first 2,000 of the training split, two passes: what one core does in minutes.
SETTINGS: dict[str, dict[str, Any]] = {
    "trec": {"epochs": 3},
    "movie_reviews": {"epochs": 2, "limit": 2000, "eval_every": 10, "curve_rows": 128},
    **{level: {"epochs": 3, "limit": 800, "eval_every": 5, "curve_rows": 96} for level in TAGGED},
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all runs share."""
    runs: Path = Path("runs/adapters/results")
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> list[Done]:
    """Rates chosen on validation with seed 0, the best repeated over the seeds; then the library's runs."""
    cells = cells_of(config, train)
    cells.expected = 65  # with the choices of the published table
    for task in TASKS:
        for cell in plan(cells, config.base, task):
            # What is compared has every seed; training from scratch and other sizes, shown beside, the first one.
            beside = cell.arm == "scratch" or cell.bottleneck in OTHER_BOTTLENECKS
            cells.repeat(cell, SEEDS[:1] if beside else SEEDS)
    return [*cells.all, *collect_peers(config)]


def cells_of(config: StudyConfig, trained_by: Callable[[Any], object]) -> Cells:
    """No cell yet; the best epoch on validation is the one that is cited."""
    told: dict[str, Any] = {"name": cell_name, "data": corpus_digest, "by": "validation_score"}
    return Cells(config.runs, trained_by, project="adapters", **told)


def plan(cells: Cells, base: Config, task: str) -> Iterator[Config]:
    """The cells that are repeated over seeds, the most needed first.

    Rates are chosen on TREC and on the movie reviews. On the entities every arm takes over the rate that was best on
    TREC, full fine-tuning and adapters alike, and so do adapters of another size.
    """

    def best_config(dataset: str, arm: str) -> Config:
        return cells.best(of(base, dataset, arm, lr=rate) for rate in RATES[arm])

    if task == "ner":
        rates = {arm: best_config("trec", arm).lr for arm in OWN}
        for level in ("ner-2", "ner-3", "ner-1"):
            yield from (of(base, level, arm, lr=rates[arm]) for arm in OWN)
    elif task == "baselines":
        for dataset in TEXTS:
            yield from [best_config(dataset, arm) for arm in ("lora", "scratch")]
        yield of(base, "ner-2", "scratch", lr=best_config("trec", "scratch").lr)
        yield from (replace(best_config("trec", "bottleneck"), bottleneck=size) for size in OTHER_BOTTLENECKS)
    else:
        yield from [best_config(task, arm) for arm in OWN]


def collect_peers(config: StudyConfig) -> list[Done]:
    """The library's runs, of our bottleneck adapters' size and rates on TREC; none if it cannot be installed."""
    cells = cells_of(config, peers.train)
    ours = [of(config.base, "trec", "bottleneck", lr=rate) for rate in RATES["bottleneck"]]
    try:
        cells.repeat(cells.best(peers.PeerConfig(**vars(cell)) for cell in ours), SEEDS)
    except UserError as error:
        print(f"without the library's row: {error}", flush=True)
        return []
    return sorted(cells.all, key=lambda done: done.final)


def of(base: Config, dataset: str, arm: str, **more: Any) -> Config:
    """The cell of a dataset and an arm."""
    return replace(base, dataset=dataset, **SETTINGS[dataset], **ARMS[arm], **more)


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the study varies."""
    size = f"-m{cell.bottleneck}" if cell.size and cell.arm != "peer" else ""
    return f"{cell.dataset}-{cell.arm}{size}-lr{cell.lr:g}-seed{cell.seed}"


# ---------------------------------------------------------------- what is shown of them


def method_of(done: Done) -> str:
    """`method` of a cell."""
    return method(done.config.arm, done.config.size)


def setting_of(done: Done) -> str:
    """What is drawn at the start of a cell of the study of initialisations."""
    return init_study.setting_of(done.config)


def diverged(group: Group) -> list[Any]:
    """Share of the seeds whose training diverged."""
    return [pooled([done.source.last("diverged") for done in group], "mean")]


def beside(summary: list[dict[str, Any]], first: str, datasets: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a method of the first dataset: dataset → its row there, None where it was not trained."""
    found = {(row["dataset"], row["method"]): row for row in summary}
    names = [name for dataset, name in found if dataset == first]
    return [{"method": name, **{dataset: found.get((dataset, name)) for dataset in datasets}} for name in names]


def score(dataset: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The mean score on a dataset, with its deviation."""
    return spread(row[dataset], "score") if row[dataset] else "–"


def gap(dataset: str, row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Distance to full fine-tuning in points."""
    full = next((other[dataset] for other in rows if other["method"] == FULL), None)
    return f"{100 * (row[dataset]['score'] - full['score']):+.2f}" if row[dataset] and full else "–"


def rates(row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """What was chosen on validation, dataset by dataset."""
    return ", ".join(f"{row[dataset]['lr']:g}" if row[dataset] else "–" for dataset in TEXTS)


def by_setting(summary: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a setting: its rows by rate."""
    found: dict[str, dict[float, dict[str, Any]]] = {}
    for row in summary:
        found.setdefault(row["setting"], {})[row["lr"]] = row
    return [{"setting": setting, "at": at} for setting, at in found.items()]


def loss_at(rate: float, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """The loss after training at a rate."""
    return spread(row["at"][rate], "loss_after", 2)


def number(name: str, form: str, without: str, row: dict[str, Any], _: list[dict[str, Any]]) -> str:
    """A number that a row may lack."""
    return without if row[name] == "" else format(row[name], form)


DATASET = plain("dataset", lambda group: group[0].config.dataset)
SETTING = plain("setting", lambda group: setting_of(group[0]))
RUNS = Table(
    "runs",
    (
        plain("cell", lambda group: group[0].name),
        *settings("arm", "size", "dataset", "lr", "seed"),
        last("score", "test_score"),
        last("accuracy", "test_accuracy"),
        last("macro_f1", "test_macro_f1"),
        last("parameters"),
        last("seconds"),
        last("steps", "step"),
        last("trained"),
        best("validation_score"),
        plain("final", lambda group: int(group[0].final)),
        origin(),
    ),
    keep_logs=True,
)
SUMMARY = Table(
    "parameters_accuracy",
    (
        DATASET,
        plain("method", lambda group: method_of(group[0])),
        plain("seeds", len),
        mean_sd("score", "test_score"),
        mean_sd("accuracy", "test_accuracy"),
        mean_sd("macro_f1", "test_macro_f1"),
        last("trained"),
        plain("share", lambda group: group[0].last("trained") / group[0].last("parameters")),
        *settings("lr"),
    ),
    made_from=("runs",),
)
IN_TEXTS = Table(
    "texts",
    (
        only_shown("trained", "se entrena", "{method}"),
        only_shown("TREC", "TREC", partial(score, "trec")),
        only_shown("to full, points", "al ajuste completo, puntos", partial(gap, "trec")),
        only_shown("movie reviews", "reseñas de cine", partial(score, "movie_reviews")),
        only_shown("to full, points", "al ajuste completo, puntos", partial(gap, "movie_reviews")),
        only_shown("parameters (TREC)", "parámetros (TREC)", "{trec[trained]:,} ({trec[share]:.2%})"),
        only_shown("rates", "tasas", rates),
    ),
)
IN_ENTITIES = Table(
    "ner",
    (
        only_shown("trained", "se entrena", "{method}"),
        *(only_shown(f"level {task[4:]}", f"nivel {task[4:]}", partial(score, task)) for task in TAGGED),
    ),
)
TIMES = Table(
    "time_to_95",
    (
        only_shown("task", "tarea", "{dataset}"),
        only_shown("trained", "se entrena", "{method}"),
        only_shown("score to reach", "meta", "{target:.3f}"),
        only_shown("reached by", "la alcanzan", "{reached} of {seeds}"),
        only_shown("steps, median", "pasos (mediana)", partial(number, "steps", "d", "never")),
        only_shown("ms a step", "ms por paso", partial(number, "step_ms", ".0f", "–")),
        only_shown("seconds", "segundos", partial(number, "seconds", ".1f", "–")),
    ),
)
INIT = Table(
    "init",
    (
        plain("cell", lambda group: group[0].name),
        SETTING,
        *settings("lr", "seed"),
        *(last(name) for name in ("deviation", "diverged", "loss_after")),
    ),
    keep_logs=True,
)
INIT_SUMMARY = Table(
    "init_summary",
    (
        SETTING,
        *settings("lr"),
        plain("seeds", len),
        mean_sd("deviation"),
        mean_sd("loss_after"),
        Column(("diverged",), diverged),
    ),
    made_from=("init",),
)
IN_INIT = Table(
    "init",
    (
        only_shown("drawn", "se sortea", "{setting}"),
        only_shown(
            "initial deviation",
            "desviación inicial",
            lambda row, _: spread(row["at"][init_study.RATES[0]], "deviation", 3),
        ),
        *(
            only_shown(f"loss after, rate {rate:g}", f"pérdida, tasa {rate:g}", partial(loss_at, rate))
            for rate in init_study.RATES
        ),
        only_shown(
            "diverged", "diverge", lambda row, _: ", ".join(f"{each['diverged']:.0%}" for each in row["at"].values())
        ),
    ),
)
BENCH = Table(
    "bench",
    (
        only_shown("task", "tarea", "{dataset}"),
        only_shown("arm", "brazo", lambda row, _: BENCH_NAMES[row["arm"]]),
        only_shown("ms a step, median", "ms por paso, mediana", "{step_ms:.0f}"),
        only_shown(
            "ours on hooks / arm, median (quartiles)",
            "nuestro con ganchos / brazo, mediana (cuartiles)",
            "{ours_over_arm:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})",
        ),
        only_shown("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
    ),
)


def views(out: Path) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Block of the README → the table that it shows, and its rows; those of the benchmark where there has been one."""
    summary = read_csv(out / "parameters_accuracy.csv")
    found = {
        "texts": (IN_TEXTS, beside(summary, "trec", TEXTS)),
        "ner": (IN_ENTITIES, beside(summary, "ner-2", TAGGED)),
        "init": (IN_INIT, by_setting(read_csv(out / "init_summary.csv"))),
    }
    if (out / "time_to_95.csv").exists():
        times = read_csv(out / "time_to_95.csv")
        found["times"] = (TIMES, [row for row in times if row["dataset"] in (*TEXTS, "ner-2")])
    if (out / "bench.csv").exists():
        found["bench"] = (BENCH, read_csv(out / "bench.csv"))
    return found


# ---------------------------------------------------------------- all of it


def main(config: StudyConfig) -> None:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    publish_all(collect(config), init_study.study(config.runs), config.out)


def publish_all(cells: list[Done], started: list[Done], out: Path) -> None:
    """Tables with their seals, figures, and the README's tables."""
    from projects.adapters import plots

    final = [done for done in cells if done.final]
    publish(RUNS, [[done] for done in cells], out, "adapters")
    points = [point for done in final for point in curve(done)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="adapters", key=team_key(), rows=[row for _, row in points])
    groups = grouped(final, lambda done: (done.config.dataset, method_of(done)))
    groups.sort(key=lambda group: (group[0].config.dataset, group[0].last("trained"), method_of(group[0])))
    publish(SUMMARY, groups, out, "adapters")
    publish(INIT, [[done] for done in started], out, "adapters")
    publish(INIT_SUMMARY, grouped(started, lambda done: (setting_of(done), done.config.lr)), out, "adapters")
    write_json(out / "environment.json", describe_environment())
    plots.draw(out)
    put_tables(out, views(out))
    publish_times(out)


def publish_times(out: Path) -> None:
    """time_to_95.csv and its view: made of runs, curves and benchmark, once all of them are there."""
    names = ("runs.csv", "curves.csv", "bench.csv")
    if all((out / name).exists() for name in names):
        rows = time_to_reach(*(read_csv(out / name) for name in names))
        write_csv(out / "time_to_95.csv", rows)
        seal_table(out / "time_to_95.csv", project="adapters", key=team_key(), made_from=names)
        put_tables(out, {"times": views(out)["times"]})


if __name__ == "__main__":
    command(main, StudyConfig)
