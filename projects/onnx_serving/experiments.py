"""`make results-onnx_serving`: the runs behind the README's tables, and what each backend answers and writes.

A run that is complete is not run again, and one that was interrupted goes on from its last checkpoint.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from projects.onnx_serving import tables
from projects.onnx_serving.agreement import answer_rows, encoder_graphs, text_rows
from projects.onnx_serving.assembly import claim_export, exported, trained
from projects.onnx_serving.config import Config
from projects.onnx_serving.places import EXPORTED, RESULTS, RUNS
from projects.onnx_serving.provenance import source_of, write_answers, write_runs, write_summary
from projects.onnx_serving.smoothing_study import smoothing_rows
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import Row, seal_table
from shared.progress import table, track
from shared.report import write_csv
from shared.runs import describe_environment, read_json

SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Run every experiment behind the README's tables."""

    base: Config = Config()
    """What all runs share."""
    seeds: tuple[int, ...] = SEEDS
    """Of the runs; the model of the first one is exported, smoothed and served."""
    runs: Path = RUNS
    """Where the runs are kept."""
    out: Path = RESULTS
    """Where the CSV files go."""


def main(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Train the question-answering model with several seeds, export it, compare what the backends answer and write."""
    claim_export(config.runs / EXPORTED.name)
    refuse_unwritable(config.out)
    directories = {
        seed: trained(replace(config.base, seed=seed, out=config.runs / name_of(seed))) for seed in config.seeds
    }
    sources = {seed: source_of(directory) for seed, directory in directories.items()}
    rows = [row_of(seed, directory) | sources[seed].columns() for seed, directory in directories.items()]
    write_runs(config.out, rows, list(sources.values()))
    write_summary(config.out, tables.summarise(rows), list(sources.values()))
    answers = answers_by_seed(directories, config.base.limit)
    write_answers(config.out, answers, list(sources.values()))
    first = config.seeds[0]
    qa = directories[first] / "model"
    graphs = exported(qa, config.runs / EXPORTED.name)
    found = {
        "smoothing.csv": smoothing_rows(qa, graphs, config.base.limit),
        "texts.csv": text_rows(graphs),
    }
    for name, content in found.items():
        write_csv(config.out / name, content)
        cited = [Row([] if name == "texts.csv" else [sources[first]]) for _ in content]
        seal_table(config.out / name, project="onnx_serving", key=team_key(), rows=cited)
    write_json(config.out / "parity.json", read_json(graphs / "parity.json"))
    write_json(config.out / "environment.json", describe_environment())
    if config.out == RESULTS:
        tables.update("results", "answers", "smoothing", "texts")
    show(rows, {"answers.csv": tables.summarise_answers(answers), **found})
    return rows


def answers_by_seed(directories: dict[int, Path], limit: int | None) -> list[dict[str, Any]]:
    """What each backend answers for the model of each seed."""
    rows = []
    for seed, directory in track(directories.items(), description="answers", total=len(directories)):
        with encoder_graphs(directory / "model") as graphs:
            rows += [{"seed": seed, **row} for row in answer_rows(directory / "model", graphs, limit)]
    return rows


def name_of(seed: int) -> str:
    """A run's folder; seed 0 is the model that the default run trains."""
    return f"qa-seed{seed}" if seed else "qa"


def row_of(seed: int, directory: Path) -> dict[str, Any]:
    """What a run came to, and what it was told."""
    said = read_json(directory / "config.json")
    told = {name: said[name] for name in ("lr", "epochs", "batch_size", "precision")}
    return {"cell": directory.name, "seed": seed, **told, **read_json(directory / "result.json")}


def show(rows: list[dict[str, Any]], found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the tables."""
    table(
        "Held-out films",
        ["run", *tables.SCORES],
        [[row["cell"], *(row[name] for name in tables.SCORES)] for row in rows],
    )
    for name, content in found.items():
        table(name, list(content[0]), [list(row.values()) for row in content])


if __name__ == "__main__":
    command(main, ExperimentConfig)
