"""`make results-adapters`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. What each table shows is declared below.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from projects.adapters import initialisation, peers
from projects.adapters.arms import ARMS, data_digest
from projects.adapters.config import BENCH_NAMES, FULL, Config, method
from projects.adapters.convergence import Rows, curve, time_to_reach
from projects.adapters.initialisation import setting_of
from projects.adapters.ner import LEVELS
from projects.adapters.train import main as train
from shared.devices import describe_environment
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import pooled
from shared.fingerprint.results import seal_table
from shared.report import put_tables, read_csv, spread, write_csv
from shared.study import Cells, Done, Table, best, grouped, last, mean_sd, only_shown, origin, plain, publish, settings

RESULTS = Path("projects/adapters/results")
BASE = Config()
SEEDS = (0, 1, 2)
OTHER_BOTTLENECKS = (8,)
TEXTS, ENTITIES = ("trec", "movie_reviews"), ("ner-2", "ner-3", "ner-1")  # the most needed first

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
    **{level: {"epochs": 3, "limit": 800, "eval_every": 5, "curve_rows": 96} for level in ENTITIES},
}


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/adapters/results")
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- which runs


def collect(config: StudyConfig) -> list[Done]:
    """Every run: rates chosen on validation with seed 0, the best repeated over the seeds, the most needed first.

    On the entities every arm takes over the rate that was best on TREC, and so do adapters of another size. What is
    compared has every seed; training from scratch and other sizes, shown beside, the first one.
    """
    cells = Cells(config.runs, train, "adapters", name=cell_name, data=data_digest, by="validation_score")
    cells.expected = 65  # with the choices of the published table

    def best_config(dataset: str, arm: str) -> Config:
        return cells.best(cell_of(dataset, arm, lr=rate) for rate in RATES[arm])

    for dataset in TEXTS:
        for cell in [best_config(dataset, arm) for arm in OWN]:
            cells.repeat(cell, SEEDS)
    for dataset in ENTITIES:
        for arm in OWN:
            cells.repeat(cell_of(dataset, arm, lr=best_config("trec", arm).lr), SEEDS)
    for dataset in TEXTS:
        lora, scratch = [best_config(dataset, arm) for arm in ("lora", "scratch")]
        cells.repeat(lora, SEEDS)
        cells.repeat(scratch, SEEDS[:1])
    cells.repeat(cell_of("ner-2", "scratch", lr=best_config("trec", "scratch").lr), SEEDS[:1])
    for size in OTHER_BOTTLENECKS:
        cells.repeat(replace(best_config("trec", "bottleneck"), bottleneck=size), SEEDS[:1])
    return [*cells.all, *collect_peers(replace(cells, train=peers.train, done={}, seconds=[], expected=0))]


def collect_peers(cells: Cells) -> list[Done]:
    """The library's runs, of our bottleneck adapters' size and rates on TREC; none if it cannot be installed."""
    ours = [cell_of("trec", "bottleneck", lr=rate) for rate in RATES["bottleneck"]]
    try:
        cells.repeat(cells.best(peers.PeerConfig(**vars(cell)) for cell in ours), SEEDS)
    except UserError as error:
        print(f"without the library's row: {error}", flush=True)
        return []
    return sorted(cells.all, key=lambda done: done.final)


def cell_of(dataset: str, arm: str, **more: Any) -> Config:
    """The configuration of an arm on a dataset."""
    return replace(BASE, dataset=dataset, **SETTINGS[dataset], **ARMS[arm], **more)


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the study varies."""
    size = f"-m{cell.bottleneck}" if cell.size and cell.arm != "peer" else ""
    return f"{cell.dataset}-{cell.arm}{size}-lr{cell.lr:g}-seed{cell.seed}"


# ---------------------------------------------------------------- what is shown of them

Row = dict[str, Any]
SPANISH = {
    "the same, written into the blocks": "los mismos, escritos en los bloques",
    " adapters on hooks": ", con ganchos",
    "bottleneck": "en serie",
    "parallel": "en paralelo",
    "`adapters` library": "biblioteca `adapters`",
    "PEFT's LoRA": "LoRA de PEFT",
    "from scratch": "desde cero",
    FULL: "ajuste completo",
    "up zero": "subida en cero",
    ", both": ", ambas",
    "never": "nunca",
    " of ": " de ",
}


def method_of(done: Done) -> str:
    """What the README calls a cell's arm and size."""
    return method(done.config.arm, done.config.size)


def side_by_side(rows: Rows, name: str, across: str) -> Rows:
    """A row for each value of the column `name`: its rows by their value of the column `across`."""
    found: dict[Any, Row] = {}
    for row in rows:
        found.setdefault(row[name], {name: row[name]})[row[across]] = row
    return list(found.values())


def _score(dataset: str, row: Row, _: Rows) -> str:
    return spread(row[dataset], "score") if dataset in row else "–"


def _gap(dataset: str, row: Row, rows: Rows) -> str:
    full = next((other[dataset] for other in rows if other["method"] == FULL), None)
    return f"{100 * (row[dataset]['score'] - full['score']):+.2f}" if dataset in row and full else "–"


def shown(name: str, *columns: tuple[str, str, Any]) -> Table:
    """A view of rows that are there: heading in English and Spanish, and what stands below it."""
    return Table(name, tuple(only_shown(*column) for column in columns), spanish=SPANISH)


CELL, SEEDS_OF = plain("cell", lambda group: group[0].name), plain("seeds", len)
SETTING = plain("setting", lambda group: setting_of(group[0]))
TESTED = ("score", "accuracy", "macro_f1")
RUNS = Table(
    "runs",
    (
        *(CELL, *settings("arm", "size", "dataset", "lr", "seed")),
        *(last(name, f"test_{name}") for name in TESTED),
        *(last("parameters"), last("seconds"), last("steps", "step"), last("trained"), best("validation_score")),
        *(plain("final", lambda group: int(group[0].final)), origin()),
    ),
    keep_logs=True,
)
SUMMARY = Table(
    "parameters_accuracy",
    (
        *(*settings("dataset"), plain("method", lambda group: method_of(group[0])), SEEDS_OF),
        *(mean_sd(name, f"test_{name}") for name in TESTED),
        last("trained"),
        plain("share", lambda group: group[0].last("trained") / group[0].last("parameters")),
        *settings("lr"),
    ),
    made_from=("runs",),
)
INIT = Table(
    "init",
    (CELL, SETTING, *settings("lr", "seed"), last("deviation"), last("diverged"), last("loss_after")),
    keep_logs=True,
)
DIVERGED = plain("diverged", lambda group: pooled([done.source.last("diverged") for done in group], "mean"))
INIT_SUMMARY = Table(
    "init_summary",
    (SETTING, *settings("lr"), SEEDS_OF, mean_sd("deviation"), mean_sd("loss_after"), DIVERGED),
    made_from=("init",),
)
TRAINED = ("trained", "se entrena", "{method}")
TO_FULL = ("to full, points", "puntos frente al completo")
IN_TEXTS = shown(
    "texts",
    TRAINED,
    ("TREC", "TREC", partial(_score, "trec")),
    (*TO_FULL, partial(_gap, "trec")),
    ("movie reviews", "reseñas de cine", partial(_score, "movie_reviews")),
    (*TO_FULL, partial(_gap, "movie_reviews")),
    ("parameters (TREC)", "parámetros (TREC)", "{trec[trained]:,} ({trec[share]:.2%})"),
    ("rates", "tasas", lambda row, _: ", ".join(f"{row[d]['lr']:g}" if d in row else "–" for d in TEXTS)),
)
IN_ENTITIES = shown(
    "ner", TRAINED, *((f"level {level}", f"nivel {level}", partial(_score, f"ner-{level}")) for level in LEVELS)
)
TIMES = shown(
    "time_to_95",
    ("task", "tarea", "{dataset}"),
    TRAINED,
    ("score to reach", "meta", "{target:.3f}"),
    ("reached by", "la alcanzan", "{reached} of {seeds}"),
    ("steps, median", "pasos (mediana)", lambda row, _: str(row["steps"] or "never")),
    ("ms a step", "ms por paso", lambda row, _: f"{row['step_ms']:.0f}" if row["step_ms"] else "–"),
    ("seconds", "segundos", lambda row, _: f"{row['seconds']:.1f}" if row["seconds"] else "–"),
)
LOSSES = {rate: partial(lambda rate, row, _: spread(row[rate], "loss_after", 2), rate) for rate in initialisation.RATES}
IN_INIT = shown(
    "init",
    ("drawn", "se sortea", "{setting}"),
    ("initial deviation", "desviación inicial", lambda row, _: spread(row[1e-3], "deviation", 3)),
    *((f"loss after, rate {rate:g}", f"pérdida, tasa {rate:g}", loss) for rate, loss in LOSSES.items()),
    ("diverged", "diverge", lambda row, _: ", ".join(f"{row[rate]['diverged']:.0%}" for rate in LOSSES)),
)
BENCH = shown(
    "bench",
    ("task", "tarea", "{dataset}"),
    ("arm", "brazo", lambda row, _: BENCH_NAMES[row["arm"]]),
    ("ms a step, median", "ms por paso, mediana", "{step_ms:.0f}"),
    (
        "ours on hooks / arm, median (quartiles)",
        "nuestro con ganchos / brazo, mediana (cuartiles)",
        "{ours_over_arm:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})",
    ),
    ("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
)


def views(out: Path) -> dict[str, tuple[Table, Rows]]:
    """Block of a README → the table that it shows, and its rows; those of the benchmark where there has been one."""
    summary = read_csv(out / "parameters_accuracy.csv")
    texts, entities = ([r for d in each for r in summary if r["dataset"] == d] for each in (TEXTS, ENTITIES))
    found = {
        "texts": (IN_TEXTS, side_by_side(texts, "method", "dataset")),
        "ner": (IN_ENTITIES, side_by_side(entities, "method", "dataset")),
        "init": (IN_INIT, side_by_side(read_csv(out / "init_summary.csv"), "setting", "lr")),
    }
    if (out / "bench.csv").exists():
        times = [row for row in read_csv(out / "time_to_95.csv") if row["dataset"] in (*TEXTS, "ner-2")]
        found |= {"bench": (BENCH, read_csv(out / "bench.csv")), "times": (TIMES, times)}
    return found


def main(config: StudyConfig) -> None:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    from projects.adapters import plots

    out, cells, starts = config.out, collect(config), initialisation.collect(config.runs)
    final = [done for done in cells if done.final]
    publish(RUNS, [[done] for done in cells], out, "adapters")
    points = [point for done in final for point in curve(done)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="adapters", key=team_key(), rows=[row for _, row in points])
    groups = grouped(final, lambda done: (done.config.dataset, method_of(done)))
    groups.sort(key=lambda group: (group[0].config.dataset, group[0].last("trained"), method_of(group[0])))
    publish(SUMMARY, groups, out, "adapters")
    publish(INIT, [[done] for done in starts], out, "adapters")
    publish(INIT_SUMMARY, grouped(starts, lambda done: (setting_of(done), done.config.lr)), out, "adapters")
    write_json(out / "environment.json", describe_environment())
    plots.draw(out)
    show(out)


def show(out: Path) -> None:
    """Put the READMEs' tables in place; where there has been a benchmark, with the times to 95 % that need it."""
    if (out / "bench.csv").exists():
        made_from = ("runs.csv", "curves.csv", "bench.csv")
        write_csv(out / "time_to_95.csv", time_to_reach(*(read_csv(out / name) for name in made_from)))
        seal_table(out / "time_to_95.csv", project="adapters", key=team_key(), made_from=made_from)
    put_tables(out, views(out))


if __name__ == "__main__":
    command(main, StudyConfig)
