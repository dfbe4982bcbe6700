"""`make results-adapters`: every run behind the README's tables, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will. `--task trec` runs one part only, and several parts may run at once; without it all
parts are run and the tables and figures are made.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from projects.adapters import init_study
from projects.adapters.config import Config
from projects.adapters.train import main as train
from shared.errors import command
from shared.runs import latest_checkpoint, read_json

SEEDS = (0, 1, 2)
BOTTLENECK, OTHER_BOTTLENECKS = 64, (8, 256)
LORA_RANK = 15  # the smallest rank with at least as many parameters as the adapters: 622,080 beside 595,200 (and norms)
TASKS = ("trec", "movie_reviews", "ner", "init")
Task = Literal["trec", "movie_reviews", "ner", "init", "all"]

# Two candidates an arm, tried with seed 0 and judged on validation.
RATES = {
    "bottleneck": (1e-3, 3e-3),
    "parallel": (3e-4, 1e-3),
    "lora": (1e-3, 3e-3),
    "full": (1e-4, 2e-4),
    "scratch": (5e-4, 1e-3),
}
ARMS: dict[str, dict[str, Any]] = {
    "bottleneck": {"adapter_type": "bottleneck", "bottleneck": BOTTLENECK},
    "parallel": {"adapter_type": "parallel", "bottleneck": BOTTLENECK, "scale": 4.0},
    "lora": {"adapter_type": "lora", "bottleneck": LORA_RANK},
    "full": {"adapter_type": "none", "freeze_base": False},
    "scratch": {"adapter_type": "none", "freeze_base": False, "pretrained": False},
}
# The movie reviews are cut to the first 3,200 of the training split, two passes: what one core does in minutes.
SETTINGS: dict[str, dict[str, Any]] = {
    "trec": {"epochs": 3},
    "movie_reviews": {"epochs": 2, "limit": 3200, "curve_rows": 192},
    "ner-1": {"epochs": 3, "eval_every": 10},
    "ner-2": {"epochs": 3, "eval_every": 10},
    "ner-3": {"epochs": 3, "eval_every": 10},
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


def main(config: ExperimentConfig) -> None:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    for task in TASKS if config.task == "all" else (config.task,):
        if task == "init":
            init_study.study(config.runs)
        else:
            collect(config, task)


def collect(config: ExperimentConfig, task: str) -> list[dict[str, Any]]:
    """Every run's row of one task. The rows that the README's means are made of have final = 1."""
    rows: dict[str, dict[str, Any]] = {}

    def run(cell: Config, *, final: bool = False) -> dict[str, Any]:
        row = complete(config.runs, cell)
        rows[row["cell"]] = {**row, "final": int(final or rows.get(row["cell"], {}).get("final", 0))}
        return row

    def best(candidates: Iterable[Config]) -> Config:
        """The candidate that is best on validation; of equals the first."""
        return max(candidates, key=lambda each: run(each)["validation_score"])

    for cell in plan(config.base, task, best):
        for seed in SEEDS:
            run(replace(cell, seed=seed), final=True)
    return list(rows.values())


def plan(base: Config, task: str, best: Any) -> Iterator[Config]:
    """The cells that are repeated over seeds, the most needed first.

    Rates are chosen on TREC, on the movie reviews and on level 2 of the entities. PEFT's LoRA and the runs from scratch
    on movie reviews and entities take over the rate that was best on TREC, as do the adapters of other sizes.
    """

    def of(dataset: str, arm: str, **more: Any) -> Config:
        return replace(base, dataset=dataset, **SETTINGS[dataset], **ARMS[arm], **more)

    def tuned(dataset: str, arm: str) -> Config:
        return best(of(dataset, arm, lr=rate) for rate in RATES[arm])

    own = ("full", "bottleneck", "parallel")
    if task == "ner":
        rates = {arm: tuned("ner-2", arm).lr for arm in own}
        for level in ("ner-2", "ner-3", "ner-1"):
            yield from (of(level, arm, lr=rates[arm]) for arm in own)
        yield of("ner-2", "scratch", lr=tuned("trec", "scratch").lr)
        return
    chosen = {arm: tuned(task, arm) for arm in own}
    yield from chosen.values()
    if task == "trec":
        yield from (tuned(task, arm) for arm in ("lora", "scratch"))
        yield from (replace(chosen["bottleneck"], bottleneck=m) for m in OTHER_BOTTLENECKS)
    else:
        yield from (of(task, arm, lr=tuned("trec", arm).lr) for arm in ("lora", "scratch"))


def complete(runs: Path, cell: Config) -> dict[str, Any]:
    """Train a cell unless it is done. Returns its row."""
    name = cell_name(cell)
    directory = runs / name
    runs.mkdir(parents=True, exist_ok=True)
    with FileLock(runs / f".{name}.lock"):  # another part may be at the same cell
        if not (directory / "result.json").exists():
            resume = latest_checkpoint(directory) is not None
            if not resume:
                shutil.rmtree(directory, ignore_errors=True)
            print(f"{'resuming' if resume else 'training'} {name}", flush=True)
            train(replace(cell, out=directory, resume=resume))
    settings = {key: asdict(cell)[key] for key in ("dataset", "lr", "seed")}
    size = cell.bottleneck if cell.adapter_type != "none" else 0
    return {"cell": name, "arm": cell.arm, "size": size, **settings, **read_json(directory / "result.json")}


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the experiments vary."""
    size = f"-m{cell.bottleneck}" if cell.adapter_type != "none" else ""
    return f"{cell.dataset}-{cell.arm}{size}-lr{cell.lr:g}-seed{cell.seed}"


if __name__ == "__main__":
    command(main, ExperimentConfig)
