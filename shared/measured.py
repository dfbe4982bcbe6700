"""Tables of measurements (latencies, counts, scores of a finished model), whose numbers come from a log like any run's.

    write_measured(out / "idle.csv", rows, "ws_chat", config)

The measurement is a run: its log has a line for each row, it says on which commit and machine, and the CSV cites it, so
that the numbers verify from the repository alone, and a later one is told from this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shared import devices
from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Part, Source, read_source
from shared.fingerprint.results import Row, remove_uncited_logs, seal_table
from shared.report import put_tables, read_csv, write_csv
from shared.runs import Run
from shared.study import Table


def write_measured(
    path: Path, rows: Sequence[dict[str, Any]], project: str, config: Any, *, made_from: tuple[str, ...] = ()
) -> None:
    """Write and seal a CSV of rows that were just measured, with the log of their run beside it.

    Args:
        path: The CSV, in the results of the project.
        rows: One a line of the log; texts and empty cells stand in the CSV alone.
        project: Whose results they are.
        config: A dataclass: what the measurement was told.
        made_from: Names of tables in the same folder that it follows from.
    """
    with TemporaryDirectory() as folder:
        with Run(Path(folder) / "run", project=project, config=config) as run:
            for line, row in enumerate(rows):  # with the table's name: "step" and others are the log's own
                run.log(line, **{f"{path.stem}.{name}": value for name, value in row.items() if is_number(value)})
        source = read_source(Path(folder) / "run", team_key())
        publish_cited(path, rows, project, source, made_from)
    remove_uncited_logs(path.parent, team_key())  # of the measurement before this one


def publish_cited(
    path: Path, rows: Sequence[dict[str, Any]], project: str, source: Source, made_from: tuple[str, ...]
) -> None:
    """Write and seal a CSV of rows, each of which is a line of a log; the log is kept beside it."""
    seqs = [seq for seq, record in enumerate(source.log.records) if "step" in record]
    cited = [
        Row([source], {name: at(source.run, f"{path.stem}.{name}", seq) for name in row if is_number(row[name])})
        for seq, row in zip(seqs, rows, strict=True)
    ]
    write_csv(path, rows)
    seal_table(path, project=project, key=team_key(), rows=cited, made_from=made_from, keep_logs=True)


def is_number(value: Any) -> bool:
    """Whether a log takes it: no text, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def at(run: str, name: str, seq: int) -> Cited:
    """A member of one line."""
    return Cited(name, (Part(run, seq, seq),))


# ---------------------------------------------------------------- benches


@dataclass(frozen=True)
class Told:
    """What a benchmark was told: sizes, steps in a round, …"""

    details: dict[str, Any]


def publish_bench(
    table: Table, rows: list[dict[str, Any]], out: Path, project: str, details: dict[str, Any]
) -> list[dict[str, Any]]:
    """Write and seal a benchmark's CSV, say beside it what it was measured on, and show the table.

    The table's name is that of the file and of the README's block; `details` are what the rows do not say: sizes, steps
    in a round, ….
    """
    path = out / f"{table.name}.csv"
    write_measured(path, rows, project, Told(details))
    devices.use_all_cores()
    write_json(path.with_suffix(".json"), {**details, **devices.machine()})
    put_tables(out, {table.name: (table, read_csv(path))})
    table.print(read_csv(path))
    return rows
