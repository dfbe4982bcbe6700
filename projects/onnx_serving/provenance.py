"""Where the numbers of results/ come from: each row of each table cites the runs and the lines of their logs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.onnx_serving.tables import SCORES, summarise_answers
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, pooled, read_source
from shared.fingerprint.results import Row, seal_table
from shared.report import write_csv


def source_of(directory: Path) -> Source:
    """A finished run, with its last checkpoint, whose weights are the model.

    Raises:
        UserError: If its log or that checkpoint does not verify.
    """
    return read_source(directory, team_key())


def cells_of(source: Source) -> dict[str, Cited]:
    """Column of runs.csv → the log line that it is read from: the last one, which holds every score."""
    first = source.last(SCORES[0])
    others = (*SCORES[1:], "validation_f1", "threshold")
    return {
        SCORES[0]: first,
        "steps": source.also(first, "step"),
        **{name: source.also(first, name) for name in others},
    }


def write_runs(out: Path, rows: Sequence[dict[str, Any]], sources: Sequence[Source]) -> None:
    """runs.csv, sealed, with the cited logs beside it in logs/."""
    write_csv(out / "runs.csv", rows)
    cited = [Row([source], cells_of(source)) for source in sources]
    seal_table(out / "runs.csv", project="onnx_serving", key=team_key(), rows=cited, keep_logs=True)


def write_summary(out: Path, summary: Sequence[dict[str, Any]], sources: Sequence[Source]) -> None:
    """summary.csv, sealed: its means and deviations cite the lines of every seed's log."""
    write_csv(out / "summary.csv", summary)
    cells = {}
    for name in SCORES:
        parts = [cells_of(source)[name] for source in sources]
        cells[name], cells[f"{name}_sd"] = pooled(parts, "mean"), pooled(parts, "stdev")
    cited = [Row(list(sources), cells)]
    seal_table(out / "summary.csv", project="onnx_serving", key=team_key(), rows=cited, made_from=("runs.csv",))


def write_answers(out: Path, rows: Sequence[dict[str, Any]], sources: Sequence[Source]) -> None:
    """answers_by_seed.csv, sealed, each row citing its run, and answers.csv, their mean and deviation by backend."""
    write_csv(out / "answers_by_seed.csv", rows)
    runs = dict(zip(dict.fromkeys(row["seed"] for row in rows), sources, strict=True))
    cited = [Row([runs[row["seed"]]]) for row in rows]
    seal_table(out / "answers_by_seed.csv", project="onnx_serving", key=team_key(), rows=cited)
    summary = summarise_answers(rows)
    write_csv(out / "answers.csv", summary)
    seal_table(out / "answers.csv", project="onnx_serving", key=team_key(), made_from=("answers_by_seed.csv",))
