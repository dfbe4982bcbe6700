"""`make results-adapters`: every run behind the README's tables, chosen on validation and repeated over seeds."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from projects.adapters import initialisation, peers
from projects.adapters.arms import ARMS, data_digest
from projects.adapters.config import BENCH_NAMES, FULL, Config, method
from projects.adapters.convergence import Rows, time_to_reach
from projects.adapters.initialisation import setting_of
from projects.adapters.ner import LEVELS
from projects.adapters.train import main as train
from shared import study
from shared.errors import UserError, command
from shared.fingerprint.citations import pooled
from shared.report import crossed, read_csv, spread
from shared.study import CELL, Cells, Done, Table, last, mean_sd, plain, publish, settings, table

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
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/adapters/results")
    out: Path = RESULTS


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


def _score(dataset: str, row: Row, _: Rows) -> str:
    return spread(row[dataset], "score") if dataset in row else "–"


def _gap(dataset: str, row: Row, rows: Rows) -> str:
    full = next((other[dataset] for other in rows if other["method"] == FULL), None)
    return f"{100 * (row[dataset]['score'] - full['score']):+.2f}" if dataset in row and full else "–"


shown = partial(table, spanish=SPANISH)
METHOD = plain("method", lambda group: method_of(group[0]))
SETTING = plain("setting", lambda group: setting_of(group[0]))
TESTED = ("score", "accuracy", "macro_f1")
RUNS = table(
    "runs",
    *(CELL, *settings("arm", "size", "dataset", "lr", "seed")),
    *(last(name, f"test_{name}") for name in TESTED),
    *(last("parameters"), last("seconds"), last("steps", "step"), last("trained")),
    *(study.best("validation_score"), study.FINAL, study.origin()),
    keep_logs=True,
)
CURVES = table(
    "curves",
    *(CELL, *settings("dataset"), METHOD, *settings("seed"), last("step")),
    *(study.mean("loss", digits=5), last("score", "curve_score")),
)
SUMMARY = table(
    "parameters_accuracy",
    *(*settings("dataset"), METHOD, study.REPEATS),
    *(mean_sd(name, f"test_{name}") for name in TESTED),
    last("trained"),
    plain("share", lambda group: group[0].last("trained") / group[0].last("parameters")),
    *settings("lr"),
    made_from=("runs",),
)
STARTED = (last("deviation"), last("diverged"), last("loss_after"))
INIT = table("init", CELL, SETTING, *settings("lr", "seed"), *STARTED, keep_logs=True)
DIVERGED = plain("diverged", lambda group: pooled([done.source.last("diverged") for done in group], "mean"))
STARTS = (mean_sd("deviation"), mean_sd("loss_after"), DIVERGED)
INIT_SUMMARY = table("init_summary", SETTING, *settings("lr"), study.REPEATS, *STARTS, made_from=("init",))
TRAINED, TASK = ("trained", "se entrena", "{method}"), ("task", "tarea", "{dataset}")
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
IN_LEVELS = ((f"level {level}", f"nivel {level}", partial(_score, f"ner-{level}")) for level in LEVELS)
IN_ENTITIES = shown("ner", TRAINED, *IN_LEVELS)
TIMES = shown(
    "time_to_95",
    *(TASK, TRAINED),
    ("score to reach", "meta", "{target:.3f}"),
    ("reached by", "la alcanzan", "{reached} of {seeds}"),
    ("steps, median", "pasos (mediana)", lambda row, _: str(row["steps"] or "never")),
    ("ms a step", "ms por paso", lambda row, _: f"{row['step_ms']:.0f}" if row["step_ms"] else "–"),
    ("seconds", "segundos", lambda row, _: f"{row['seconds']:.1f}" if row["seconds"] else "–"),
)
LOSSES = {
    rate: partial(lambda rate, row, _: spread(row[rate], "loss_after", 2), rate)
    for rate in map("{:g}".format, initialisation.RATES)
}
IN_INIT = shown(
    "init",
    ("drawn", "se sortea", "{setting}"),
    ("initial deviation", "desviación inicial", lambda row, _: spread(row["0.001"], "deviation", 3)),
    *((f"loss after, rate {rate}", f"pérdida, tasa {rate}", loss) for rate, loss in LOSSES.items()),
    ("diverged", "diverge", lambda row, _: ", ".join(f"{row[rate]['diverged']:.0%}" for rate in LOSSES)),
)
OVER = ("ours on hooks / arm, median (quartiles)", "nuestro con ganchos / brazo, mediana (cuartiles)")
BENCH = shown(
    "bench",
    *(TASK, ("arm", "brazo", lambda row, _: BENCH_NAMES[row["arm"]])),
    ("ms a step, median", "ms por paso, mediana", "{step_ms:.0f}"),
    (*OVER, "{ours_over_arm:.3f} ({ratio_q1:.3f} to {ratio_q3:.3f})"),
    ("peak memory", "memoria máxima", "{peak_mb:.0f} MB"),
)


def views(out: Path) -> dict[str, tuple[Table, Rows]]:
    """Block of a README → the table that it shows, and its rows; those of the benchmark where there has been one."""
    summary, starts = (read_csv(out / f"{made.name}.csv") for made in (SUMMARY, INIT_SUMMARY))
    texts, entities = ([r for d in each for r in summary if r["dataset"] == d] for each in (TEXTS, ENTITIES))
    found = {
        "texts": (IN_TEXTS, crossed(texts, "method", "dataset")),
        "ner": (IN_ENTITIES, crossed(entities, "method", "dataset")),
        "init": (IN_INIT, crossed([{**row, "rate": f"{row['lr']:g}"} for row in starts], "setting", "rate")),
        **study.written(out, BENCH),
    }
    for times, rows in study.written(out, TIMES).values():
        found["times"] = (times, [row for row in rows if row["dataset"] in (*TEXTS, "ner-2")])
    return found


def main(config: StudyConfig) -> None:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    from projects.adapters import plots

    out, cells, starts = config.out, collect(config), initialisation.collect(config.runs)
    final = [done for done in cells if done.final]
    publish(RUNS, [[done] for done in cells], out, "adapters")
    publish(CURVES, [point for done in final for point in study.by_line(done, "curve_score")], out, "adapters")
    groups = study.grouped(final, lambda done: (done.config.dataset, method_of(done)))
    groups.sort(key=lambda group: (group[0].config.dataset, group[0].last("trained"), method_of(group[0])))
    publish(SUMMARY, groups, out, "adapters")
    publish(INIT, [[done] for done in starts], out, "adapters")
    publish(INIT_SUMMARY, study.grouped(starts, lambda done: (setting_of(done), done.config.lr)), out, "adapters")
    add_times(out)
    plots.draw(out)
    study.finish(out, views(out))


def add_times(out: Path) -> None:
    """time_to_95.csv, which needs the benchmark too: nothing where there has been none."""
    made_from = ("runs.csv", "curves.csv", "bench.csv")
    if (out / "bench.csv").exists():
        times = time_to_reach(*(read_csv(out / name) for name in made_from))
        study.write(out / "time_to_95.csv", times, "adapters", made_from=made_from)


if __name__ == "__main__":
    command(main, StudyConfig)
