"""Writes results/: every row of every table cites the runs and the lines of their logs that it comes from."""

import re
import shutil
from pathlib import Path
from typing import Any

from projects.hf_finetune.data.preprocess import prepare
from projects.hf_finetune.evaluation.baseline import tfidf_baseline
from projects.hf_finetune.evaluation.eval import run_config
from projects.hf_finetune.figures import draw
from projects.hf_finetune.tables import SCORES, faults_markdown, results_markdown, summarise
from projects.hf_finetune.training.models import load_tokenizer
from shared.errors import UserError
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import KEPT, Cited, Source, pooled, read_best
from shared.fingerprint.results import Row, seal_table
from shared.progress import table
from shared.report import put_into_readme, read_csv, write_csv
from shared.runs import describe_environment, read_json

PROJECT = "hf_finetune"
SAMPLE = "sample"
OURS = re.compile(r"[0-9a-f]{16}" + re.escape(KEPT))  # a log kept under its run's id


def publish(runs: Path, out: Path, readme: Path, rows: list[dict[str, Any]], broken: list[dict[str, Any]]) -> None:
    """Write, seal and show everything that the finished runs came to."""
    sources = {
        row["cell"]: read_best(runs / row["cell"], team_key(), "validation_macro_f1") for row in [*rows, *broken]
    }
    rows = [{**row, **sources[row["cell"]].columns()} for row in rows]
    remove_logs(out / "logs")
    write_runs(out, rows, sources)
    summary = summarise(row for row in rows if row["final"])
    write_summary(out, summary, rows, sources)
    write_faults(out, broken, summary, sources)
    write_json(out / "environment.json", describe_environment())
    chosen = next(row["cell"] for row in rows if row["final"] and row["arm"] == "plain")
    baseline = write_baseline(out, runs / chosen)
    keep_evaluation(runs / chosen, out)
    keep_sample(runs / SAMPLE, out)
    draw(out)
    put_into_readme(readme, "results", results_markdown(summary, baseline))
    put_into_readme(readme, "faults", faults_markdown(read_csv(out / "faults.csv")))
    names = ["arm", "accuracy", "macro_f1", "macro_f1_sd", "worst_macro_f1", "gain_macro_f1", "p_value"]
    table("Means over seeds, test sentences", names, [[row[name] for name in names] for row in summary])


def remove_logs(folder: Path) -> None:
    """Remove the logs of an earlier publication, with runs that no table cites any more; other files stay."""
    for path in folder.glob(f"*{KEPT}"):
        if OURS.fullmatch(path.name):
            path.unlink()


def refuse_foreign(out: Path) -> None:
    """Refuse, before any run, a folder of results in which `sample_run`, which is replaced, is not ours.

    Raises:
        UserError: If it holds anything but such a run.
    """
    sample = out / "sample_run"
    if sample.exists() and not {path.name for path in sample.iterdir()} <= {
        *read_json(sample / "files.json"),
        "files.json",
    }:
        raise UserError(f"{sample} holds files of another origin: choose another --out, or move them")


def cells_of(source: Source) -> dict[str, Cited]:
    """Column of runs.csv → the log line that it is read from."""
    tested = source.last("test_accuracy")
    scores = {name: source.also(tested, f"test_{name}") for name in SCORES}
    return {
        **scores,
        "validation_macro_f1": source.best("validation_macro_f1"),
        "steps": source.also(tested, "step"),
    }


def write_runs(out: Path, rows: list[dict[str, Any]], sources: dict[str, Source]) -> None:
    """runs.csv and curves.csv, sealed, with the cited logs beside them in logs/."""
    key = team_key()
    write_csv(out / "runs.csv", rows)
    cited = [Row([sources[row["cell"]]], cells_of(sources[row["cell"]])) for row in rows]
    seal_table(out / "runs.csv", project=PROJECT, key=key, rows=cited, keep_logs=True)
    points = [point for row in rows if row["final"] for point in curve(sources[row["cell"]], row)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project=PROJECT, key=key, rows=[row for _, row in points])


def curve(source: Source, row: dict[str, Any]) -> list[tuple[dict[str, Any], Row]]:
    """A run's validation after each epoch; each point with its citation."""
    points = []
    for seq, record in enumerate(source.log.records):
        if "validation_loss" in record:
            names = ("step", "validation_loss", "validation_macro_f1")
            point = {"cell": row["cell"], "arm": row["arm"], "seed": row["seed"], **{n: record[n] for n in names}}
            points.append((point, Row([source], {name: source.window(name, seq, seq, "value") for name in names})))
    return points


def write_summary(
    out: Path, summary: list[dict[str, Any]], rows: list[dict[str, Any]], sources: dict[str, Source]
) -> None:
    """summary.csv, sealed: its means and deviations cite the lines of every seed's log."""
    write_csv(out / "summary.csv", summary)
    cited = []
    for line in summary:
        runs = [sources[row["cell"]] for row in rows if row["final"] and row["arm"] == line["arm"]]
        cells = {}
        for name in SCORES:
            parts = [cells_of(source)[name] for source in runs]
            cells[name], cells[f"{name}_sd"] = pooled(parts, "mean"), pooled(parts, "stdev")
        for name in ("accuracy", "macro_f1"):
            cells[f"worst_{name}"] = pooled([cells_of(source)[name] for source in runs], "min")
        cited.append(Row(runs, cells))
    seal_table(out / "summary.csv", project=PROJECT, key=team_key(), rows=cited, made_from=("runs.csv",))


def write_faults(
    out: Path, broken: list[dict[str, Any]], summary: list[dict[str, Any]], sources: dict[str, Source]
) -> None:
    """faults.csv, sealed: the broken runs, and how far each is from plain training's mean in its deviations."""
    plain = next(row for row in summary if row["arm"] == "plain")
    spread = plain["macro_f1_sd"] or float("inf")
    rows = [
        {**row, "off_in_sd": (row["macro_f1"] - plain["macro_f1"]) / spread, **sources[row["cell"]].columns()}
        for row in broken
    ]
    write_csv(out / "faults.csv", rows)
    cited = [Row([sources[row["cell"]]], cells_of(sources[row["cell"]])) for row in rows]
    seal_table(out / "faults.csv", project=PROJECT, key=team_key(), rows=cited, keep_logs=True)


def write_baseline(out: Path, run: Path) -> dict[str, Any]:
    """baseline.csv, sealed, and data.json: TF-IDF on the very data of a run, and what these data are."""
    config = run_config(run)
    data = prepare(config, load_tokenizer(config.model, max_length=config.max_length))
    found = tfidf_baseline(data)
    row = {name: found[name] for name in ("C", "validation_macro_f1", *SCORES)}
    write_csv(out / "baseline.csv", [row])
    seal_table(out / "baseline.csv", project=PROJECT, key=team_key())
    write_json(out / "data.json", data.report)
    return row


def keep_evaluation(run: Path, out: Path) -> None:
    """The figures of one run's evaluation, and its report with the worst errors."""
    for name in ("confusion_matrix.png", "reliability.png", "report.json", "report.txt"):
        shutil.copy(run / "evaluation" / name, out / name)


def keep_sample(run: Path, out: Path) -> None:
    """Move a small run here without its weights: what training leaves behind, to be looked at in a fresh clone.

    Moved, not copied: a run that is there twice is what a verifier calls replayed.
    """
    sample = out / "sample_run"
    if not run.exists():
        return
    refuse_foreign(out)
    shutil.rmtree(sample, ignore_errors=True)
    sample.mkdir(parents=True)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    listing = {path.relative_to(run).as_posix(): path.stat().st_size for path in files}
    for path in (path for path in run.iterdir() if path.is_file()):
        shutil.copy(path, sample / path.name)
    write_json(sample / "files.json", listing)
    shutil.rmtree(run)
