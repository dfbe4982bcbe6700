"""`make results-adapters`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. `--task trec` runs one part only, and several parts may run at once; without it all
parts are run and the tables and figures are made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from projects.adapters import init_study, peers, plots
from projects.adapters.assembly import corpus_digest
from projects.adapters.config import Config
from projects.adapters.ner import LEVELS
from projects.adapters.provenance import write_init, write_runs, write_summary, write_times
from projects.adapters.tables import (
    README,
    Rows,
    init_markdown,
    ner_markdown,
    summarise,
    summarise_init,
    texts_markdown,
    time_markdown,
    time_to_reach,
)
from projects.adapters.train import main as train
from shared import study
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_best
from shared.progress import table
from shared.report import put_into_readme, read_csv
from shared.runs import describe_environment, read_json

SEEDS = (0, 1, 2)
BOTTLENECK, OTHER_BOTTLENECKS = 64, (8,)
LORA_RANK = 15  # the smallest rank with at least as many parameters as the adapters: 622,080 beside 595,200 (and norms)
TASKS = ("trec", "movie_reviews", "ner", "baselines")
Task = Literal["trec", "movie_reviews", "ner", "baselines", "init", "peers", "all"]

# Candidates of each arm, tried with seed 0 and judged on validation; the library has those of the bottleneck adapters.
RATES = {
    "bottleneck": (1e-3, 3e-3),
    "parallel": (3e-4, 1e-3),
    "full": (1e-4, 2e-4),
    "lora": (5e-4, 1e-3),
    "scratch": (2e-4, 5e-4),
}
OWN = ("full", "bottleneck", "parallel")  # compared on every task; the others are baselines
ARMS: dict[str, dict[str, Any]] = {
    "bottleneck": {"adapter_type": "bottleneck", "bottleneck": BOTTLENECK},
    "parallel": {"adapter_type": "parallel", "bottleneck": BOTTLENECK, "scale": 4.0},
    "lora": {"adapter_type": "lora", "bottleneck": LORA_RANK},
    "full": {"adapter_type": "none", "freeze_base": False},
    "scratch": {"adapter_type": "none", "freeze_base": False, "pretrained": False},
}
# The movie reviews are cut to the first 2,000 of the training split, two passes: what one core does in minutes.
SETTINGS: dict[str, dict[str, Any]] = {
    "trec": {"epochs": 3},
    "movie_reviews": {"epochs": 2, "limit": 2000, "eval_every": 10, "curve_rows": 128},
    **{f"ner-{level}": {"epochs": 3, "limit": 800, "eval_every": 5, "curve_rows": 96} for level in LEVELS},
}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    task: Task = "all"
    """One part of the experiments, or all of them with tables and figures."""
    base: Config = Config()
    """What all runs share."""
    runs: Path = Path("runs/adapters/results")
    """Where the runs are kept."""
    out: Path = Path("projects/adapters/results")
    """Where the CSV files and figures go."""
    readme: Path = README
    """Whose tables are rewritten."""


def main(config: ExperimentConfig) -> None:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    if config.task == "init":
        init_study.study(config.runs)
    elif config.task == "peers":
        peer_rows(config)
    elif config.task != "all":
        collect(config, config.task)
    else:
        rows = [row for task in TASKS for row in collect(config, task)] + peer_rows(config)
        final = {row["cell"] for row in rows if row["final"]}  # a cell that one task tunes with another may repeat
        rows = [{**row, "final": int(cell in final)} for cell, row in {r["cell"]: r for r in rows}.items()]
        publish(config, rows)


def publish(config: ExperimentConfig, rows: Rows) -> None:
    """Tables with their seals, figures, and the README's tables."""
    out, runs = config.out, config.runs
    sources = {row["cell"]: read_best(runs / row["cell"], team_key(), "validation_score") for row in rows}
    rows = [{**row, **sources[row["cell"]].columns()} for row in rows]
    write_runs(out, rows, sources)
    write_json(out / "environment.json", describe_environment())
    summary = summarise(row for row in rows if row["final"])
    write_summary(out, summary, rows, sources)
    started = init_study.study(runs)
    write_init(out, started, summarise_init(started), runs)
    plots.main(plots.PlotConfig(results=out))
    put_into_readme(config.readme, "init", init_markdown(read_csv(out / "init_summary.csv")))
    put_into_readme(config.readme, "texts", texts_markdown(summary))
    put_into_readme(config.readme, "ner", ner_markdown(summary))
    publish_times(out, config.readme)
    cells = [[r["dataset"], r["method"], r["score"], r["score_sd"], f"{r['trained']:,}"] for r in summary]
    table("Means over seeds (accuracy, or entity F1)", ["dataset", "method", "score", "sd", "trained"], cells)


def publish_times(out: Path, readme: Path) -> None:
    """Time to 95 % of full fine-tuning's score, once there are both runs and a benchmark."""
    if not (out / "bench.csv").exists() or not (out / "curves.csv").exists():
        return
    rows = time_to_reach(*(read_csv(out / name) for name in ("runs.csv", "curves.csv", "bench.csv")))
    write_times(out, rows)
    put_into_readme(readme, "times", time_markdown(rows))


def peer_rows(config: ExperimentConfig) -> Rows:
    """The library's runs, of our bottleneck adapters' size and rates on TREC; none if it cannot be installed."""
    candidates = [of(config.base, "trec", "bottleneck", lr=rate) for rate in RATES["bottleneck"]]
    try:
        return peers.compare(config.runs, candidates, SEEDS)
    except UserError as error:
        print(f"without the library's row: {error}", flush=True)
        return []


def collect(config: ExperimentConfig, task: str) -> Rows:
    """Every run's row of one task. The rows that the README's means are made of have final = 1."""
    rows: dict[str, dict[str, Any]] = {}

    def run(cell: Config, *, final: bool = False) -> dict[str, Any]:
        row = complete(config, cell)
        rows[row["cell"]] = {**row, "final": int(final or rows.get(row["cell"], {}).get("final", 0))}
        return row

    def best(candidates: Iterable[Config]) -> Config:
        """The candidate that is best on validation; of equals the first."""
        return max(candidates, key=lambda each: run(each)["validation_score"])

    for cell in plan(config.base, task, best):
        for seed in seeds_of(cell):
            run(replace(cell, seed=seed), final=True)
    return list(rows.values())


def plan(base: Config, task: str, best: Any) -> Iterator[Config]:
    """The cells that are repeated over seeds, the most needed first.

    Rates are chosen on TREC and on the movie reviews. On the entities every arm takes over the rate that was best on
    TREC, full fine-tuning and adapters alike, and so do adapters of another size.
    """

    def tuned(dataset: str, arm: str) -> Config:
        return best(of(base, dataset, arm, lr=rate) for rate in RATES[arm])

    if task == "ner":
        rates = {arm: tuned("trec", arm).lr for arm in OWN}
        for level in ("ner-2", "ner-3", "ner-1"):
            yield from (of(base, level, arm, lr=rates[arm]) for arm in OWN)
    elif task == "baselines":
        for dataset in ("trec", "movie_reviews"):
            yield from [tuned(dataset, arm) for arm in ("lora", "scratch")]
        yield of(base, "ner-2", "scratch", lr=tuned("trec", "scratch").lr)
        yield from (replace(tuned("trec", "bottleneck"), bottleneck=size) for size in OTHER_BOTTLENECKS)
    else:
        yield from [tuned(task, arm) for arm in OWN]


def seeds_of(cell: Config) -> tuple[int, ...]:
    """What is compared has every seed; training from scratch and other sizes, shown beside, the first one."""
    beside = cell.arm == "scratch" or cell.bottleneck in OTHER_BOTTLENECKS
    return SEEDS[:1] if beside else SEEDS


def of(base: Config, dataset: str, arm: str, **more: Any) -> Config:
    """The cell of a dataset and an arm."""
    return replace(base, dataset=dataset, **SETTINGS[dataset], **ARMS[arm], **more)


def complete(config: ExperimentConfig, cell: Config) -> dict[str, Any]:
    """Train a cell unless it is done. Returns its row."""
    config.runs.mkdir(parents=True, exist_ok=True)
    with FileLock(config.runs / f".{cell_name(cell)}.lock"):  # another part may be at the same cell
        directory = study.complete(
            config.runs / cell_name(cell),
            cell,
            lambda place, resume: train(replace(cell, out=place, resume=resume)),
            project="adapters",
            data=corpus_digest(cell),
        )
    size = cell.bottleneck if cell.adapter_type != "none" else 0
    settings = {"arm": cell.arm, "size": size, "dataset": cell.dataset, "lr": cell.lr, "seed": cell.seed}
    return {"cell": directory.name, **settings, **numbers_of(directory)}


def numbers_of(directory: Path) -> dict[str, Any]:
    """A finished run's numbers, with one `score` in the place of two: entity F1 where there is one, else accuracy."""
    found = read_json(directory / "result.json")
    entity = found.pop("entity_f1")
    return {"score": found["accuracy"] if entity is None else entity, **found}


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the experiments vary."""
    size = f"-m{cell.bottleneck}" if cell.adapter_type != "none" else ""
    return f"{cell.dataset}-{cell.arm}{size}-lr{cell.lr:g}-seed{cell.seed}"


if __name__ == "__main__":
    command(main, ExperimentConfig)
