"""Where the numbers of results/ come from: each row of each table cites the runs and the lines of their logs."""

import statistics
from pathlib import Path
from typing import Any

from projects.lora.tables import method
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled
from shared.fingerprint.results import Row, seal_table
from shared.report import write_csv

WINDOW = 20  # steps whose losses are averaged to one point of a curve
MEANS = ("accuracy", "macro_f1")  # columns of summary.csv that are means over seeds, beside their deviations


def cells_of(source: Source) -> dict[str, Cited]:
    """Column of runs.csv → the log line that it is read from."""
    tested = source.last("test_accuracy")
    return {
        "accuracy": tested,
        "macro_f1": source.also(tested, "test_macro_f1"),
        "validation_accuracy": source.best("validation_accuracy"),
        "steps": source.also(tested, "step"),
    }


def curve(source: Source, row: dict[str, Any]) -> list[tuple[dict[str, Any], Row]]:
    """A run's training loss, averaged over whole windows of steps, for the figures; each point with its citation."""
    losses = [(seq, r["step"], r["loss"]) for seq, r in enumerate(source.log.records) if "loss" in r]
    points = []
    for start in range(0, len(losses) - WINDOW + 1, WINDOW):
        window = losses[start : start + WINDOW]
        (first, _, _), (last, step, _) = window[0], window[-1]
        loss = round(statistics.mean(loss for _, _, loss in window), 5)
        point = {"cell": row["cell"], "method": method(row), "lr_ratio": row["lr_ratio"], "step": step, "loss": loss}
        cells = {
            "step": source.window("step", last, last, "value"),
            "loss": source.window("loss", first, last, "mean", digits=5),
        }
        points.append((point, Row([source], cells)))
    return points


def write_runs(out: Path, rows: list[dict[str, Any]], sources: dict[str, Source]) -> None:
    """runs.csv and curves.csv, sealed, with the cited logs beside them in logs/."""
    write_csv(out / "runs.csv", rows)
    cited = [Row([sources[row["cell"]]], cells_of(sources[row["cell"]])) for row in rows]
    seal_table(out / "runs.csv", project="lora", key=team_key(), rows=cited, keep_logs=True)
    points = [point for row in rows for point in curve(sources[row["cell"]], row)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="lora", key=team_key(), rows=[row for _, row in points])


def write_summary(
    out: Path, summary: list[dict[str, Any]], rows: list[dict[str, Any]], sources: dict[str, Source]
) -> None:
    """summary.csv, sealed: its means and deviations cite the lines of every seed's log."""
    write_csv(out / "summary.csv", summary)
    cited = []
    for line in summary:
        runs = [sources[row["cell"]] for row in rows if row["final"] and method(row) == line["method"]]
        cells = {}
        for name in MEANS:
            parts = [cells_of(source)[name] for source in runs]
            cells[name], cells[f"{name}_sd"] = pooled(parts, "mean"), pooled(parts, "stdev")
        cited.append(Row(runs, cells))
    seal_table(out / "summary.csv", project="lora", key=team_key(), rows=cited, made_from=("runs.csv",))
