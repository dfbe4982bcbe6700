"""`make results-lora`: every run behind the README's table, chosen on validation and repeated over seeds.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint, so the command
can be stopped and started at will.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from projects.lora.analysis import plots
from projects.lora.config import Config
from projects.lora.provenance import write_runs, write_summary
from projects.lora.scripts import pruning_quant
from projects.lora.scripts.train_lora import main as train
from projects.lora.scripts.train_lora import read_corpus
from projects.lora.tables import README, markdown, pruning_markdown, summarise
from shared import study
from shared.assets import load_encoder
from shared.errors import command
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import read_best
from shared.fingerprint.results import Row, seal_table
from shared.progress import table
from shared.report import put_into_readme, read_csv
from shared.runs import describe_environment, read_json

RANKS, RATIOS, SEEDS = (4, 16, 64), (1.0, 4.0, 16.0), (0, 1, 2)
LORA_RATES, FULL_RATES = (2e-4, 5e-4, 1e-3), (5e-5, 1e-4, 2e-4)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's table."""

    base: Config = Config()
    """What all runs share."""
    runs: Path = Path("runs/lora/results")
    """Where the runs are kept."""
    out: Path = Path("projects/lora/results")
    """Where the CSV files and figures go."""
    readme: Path = README
    """Whose tables are rewritten."""


def main(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Choose rates on validation with seed 0, repeat the best over three seeds, write tables and figures."""
    rows = collect(config)
    sources = {row["cell"]: read_best(config.runs / row["cell"], team_key(), "validation_accuracy") for row in rows}
    rows = [{**row, **sources[row["cell"]].columns()} for row in rows]
    write_runs(config.out, rows, sources)
    write_json(config.out / "environment.json", describe_environment())
    small = best_small(rows)
    pruned = pruning_quant.main(pruning_quant.PruneConfig(run=config.runs / small, out=config.out))
    cited = [Row([sources[small]])] * len(pruned)
    seal_table(config.out / "pruning_quant.csv", project="lora", key=team_key(), rows=cited)
    summary = summarise(row for row in rows if row["final"])
    write_summary(config.out, summary, rows, sources)
    plots.main(plots.PlotConfig(results=config.out))
    put_into_readme(config.readme, "results", markdown(summary))
    put_into_readme(config.readme, "pruning", pruning_markdown(read_csv(config.out / "pruning_quant.csv")))
    columns = ["method", "accuracy", "sd", "macro-F1", "trained"]
    table(
        "Means over seeds",
        columns,
        [[r["method"], r["accuracy"], r["accuracy_sd"], r["macro_f1"], r["trained"]] for r in summary],
    )
    return rows


def collect(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Every run's row. The rows that the README's means are made of have final = 1."""
    base = config.base
    rows: dict[str, dict[str, Any]] = {}

    def best(candidates: Iterable[Config]) -> Config:
        """The candidate that is best on validation; of equals the first."""
        return max(candidates, key=lambda each: run(each)["validation_accuracy"])

    def run(cell: Config, *, final: bool = False) -> dict[str, Any]:
        row = complete(config.runs, cell)
        rows[row["cell"]] = {**row, "final": int(final or rows.get(row["cell"], {}).get("final", 0))}
        return row

    def repeat(cell: Config) -> None:
        for seed in SEEDS:
            run(replace(cell, seed=seed), final=True)

    lora = best(replace(base, arm="lora", rank=16, lr_ratio=1.0, lr=rate) for rate in LORA_RATES)
    full = best(replace(base, arm="full", lr=rate) for rate in FULL_RATES)
    chosen = {rank: best(replace(lora, rank=rank, lr_ratio=ratio) for ratio in RATIOS) for rank in RANKS}
    root = best(replace(lora, rank=64, lr_ratio=ratio, scaling="alpha/sqrt(r)") for ratio in RATIOS)
    for cell in (*chosen.values(), root, full, replace(base, arm="head"), replace(chosen[16], arm="peft")):
        repeat(cell)
    return list(rows.values())


def complete(runs: Path, cell: Config) -> dict[str, Any]:
    """Train a cell unless it is done. Returns its row."""
    directory = study.complete(
        runs / cell_name(cell),
        cell,
        lambda place, resume: train(replace(cell, out=place, resume=resume)),
        project="lora",
        data=corpus_digest(cell.model, cell.dataset, cell.limit),
    )
    settings = {key: asdict(cell)[key] for key in ("arm", "rank", "scaling", "lr", "lr_ratio", "seed")}
    return {"cell": directory.name, **settings, **read_json(directory / "result.json")}


@cache
def corpus_digest(model: str, dataset: str, limit: int | None) -> str:
    """Digest of the texts and labels that a cell learns from."""
    config = Config(model=model, dataset=dataset, limit=limit)
    return read_corpus(config, load_encoder(model, max_length=config.max_length)[1]).digest()


def cell_name(cell: Config) -> str:
    """A name that tells two cells apart by all that the experiments vary."""
    if cell.arm == "head":
        return f"head-seed{cell.seed}"
    if cell.arm == "full":
        return f"full-lr{cell.lr:g}-seed{cell.seed}"
    root = "-sqrt" if cell.scaling == "alpha/sqrt(r)" else ""
    return f"{cell.arm}-r{cell.rank}{root}-lr{cell.lr:g}-x{cell.lr_ratio:g}-seed{cell.seed}"


def best_small(rows: list[dict[str, Any]]) -> str:
    """The cell that is pruned and quantised: the chosen LoRA with r = 16 and seed 0."""
    return next(r["cell"] for r in rows if r["final"] and r["arm"] == "lora" and r["rank"] == 16 and r["seed"] == 0)


if __name__ == "__main__":
    command(main, ExperimentConfig)
