"""Where the numbers of results/ come from: each row of each table cites the runs and the lines of their logs."""

import statistics
from pathlib import Path
from typing import Any

from projects.adapters.tables import Rows, method
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled, read_source
from shared.fingerprint.results import Row, seal_table
from shared.report import write_csv

MEANS = ("score", "accuracy", "macro_f1")  # columns that are means over seeds, beside their deviations
Sources = dict[str, Source]


def cells_of(source: Source) -> dict[str, Cited]:
    """Column of runs.csv → the log line that it is read from."""
    tested = source.last("test_accuracy")
    return {
        "accuracy": tested,
        "macro_f1": source.also(tested, "test_macro_f1"),
        "score": source.also(tested, "test_score"),
        "validation_score": source.best("validation_score"),
        "steps": source.also(tested, "step"),
    }


def curve(source: Source, row: dict[str, Any]) -> list[tuple[dict[str, Any], Row]]:
    """A run's convergence: validation score every few steps, and the mean loss since the point before; each cited."""
    points, first = [], 0
    for seq, record in enumerate(source.log.records):
        if "curve_score" not in record:
            continue
        losses = [r["loss"] for r in source.log.records[first : seq + 1] if "loss" in r]
        loss = round(statistics.mean(losses), 5)
        point = {"cell": row["cell"], "dataset": row["dataset"], "method": method(row), "seed": row["seed"]}
        cells = {
            "step": source.window("step", seq, seq, "value"),
            "loss": source.window("loss", first, seq, "mean", digits=5),
            "score": source.window("curve_score", seq, seq, "value"),
        }
        points.append(({**point, "step": record["step"], "loss": loss, "score": record["curve_score"]}, cells))
        first = seq + 1
    return [(point, Row([source], cells)) for point, cells in points]


def write_runs(out: Path, rows: Rows, sources: Sources) -> None:
    """runs.csv and curves.csv, sealed, with the cited logs beside them in logs/."""
    write_csv(out / "runs.csv", rows)
    cited = [Row([sources[row["cell"]]], cells_of(sources[row["cell"]])) for row in rows]
    seal_table(out / "runs.csv", project="adapters", key=team_key(), rows=cited, keep_logs=True)
    final = [row for row in rows if row["final"]]
    points = [point for row in final for point in curve(sources[row["cell"]], row)]
    write_csv(out / "curves.csv", [point for point, _ in points])
    seal_table(out / "curves.csv", project="adapters", key=team_key(), rows=[row for _, row in points])


def write_summary(out: Path, summary: Rows, rows: Rows, sources: Sources) -> None:
    """parameters_accuracy.csv, sealed: its means and deviations cite the lines of every seed's log."""
    write_csv(out / "parameters_accuracy.csv", summary)
    cited = []
    for line in summary:
        same = [r for r in rows if r["final"] and (r["dataset"], method(r)) == (line["dataset"], line["method"])]
        runs = [sources[row["cell"]] for row in same]
        cells = {}
        for name in MEANS:
            parts = [cells_of(source)[name] for source in runs]
            cells[name], cells[f"{name}_sd"] = pooled(parts, "mean"), pooled(parts, "stdev")
        cited.append(Row(runs, cells))
    path = out / "parameters_accuracy.csv"
    seal_table(path, project="adapters", key=team_key(), rows=cited, made_from=("runs.csv",))


def write_init(out: Path, rows: Rows, summary: Rows, runs: Path) -> None:
    """init.csv and init_summary.csv, sealed: deviation, loss and divergence cite the log of every seed."""
    sources = {row["cell"]: read_source(runs / row["cell"], team_key()) for row in rows}
    write_csv(out / "init.csv", rows)
    names = ("deviation", "loss_after", "diverged")
    cited = [Row([sources[r["cell"]]], {name: sources[r["cell"]].last(name) for name in names}) for r in rows]
    seal_table(out / "init.csv", project="adapters", key=team_key(), rows=cited, keep_logs=True)
    write_csv(out / "init_summary.csv", summary)
    lines = []
    for line in summary:
        mine = [sources[r["cell"]] for r in rows if (r["setting"], r["lr"]) == (line["setting"], line["lr"])]
        cells = {name: pooled([source.last(name) for source in mine], "mean") for name in names}
        for name in names[:2]:
            cells[f"{name}_sd"] = pooled([source.last(name) for source in mine], "stdev")
        lines.append(Row(mine, cells))
    path = out / "init_summary.csv"
    seal_table(path, project="adapters", key=team_key(), rows=lines, made_from=("init.csv",))


def write_times(out: Path, rows: Rows) -> None:
    """time_to_95.csv, sealed: computed from the curves and the benchmark."""
    write_csv(out / "time_to_95.csv", rows)
    made_from = ("runs.csv", "curves.csv", "bench.csv")
    seal_table(out / "time_to_95.csv", project="adapters", key=team_key(), made_from=made_from)
