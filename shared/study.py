"""Results, declared: which runs there are, which are chosen and repeated, and what is shown of them.

    cells = Cells(runs, train, project="lora", name=cell_name, data=digest_of, by="validation_accuracy")
    best = cells.best(replace(base, lr=rate) for rate in (1e-4, 1e-3))
    cells.repeat(best, seeds=(0, 1, 2))
    publish(table("summary", plain("method", method), mean_sd("accuracy", head="accuracy")), groups, out, "lora")

A cell is a run that is recognised by its configuration and the digest of its data: it is trained once, from its last
checkpoint on if it was stopped, and used again only if both are those asked for. A table's CSV is made from citations
(shared/fingerprint/citations.py), so that every number can be recomputed from logs; the README's view from the CSV.
"""

import json
import re
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shared import devices, progress
from shared.errors import UserError
from shared.files import read_json, write_json, write_text
from shared.fingerprint import team_key
from shared.fingerprint.citations import LOG_NAME, Cited, Source, pooled, read_best, read_source
from shared.fingerprint.results import Row, remove_uncited_logs, seal_table
from shared.report import Views, markdown_table, put_tables, read_csv, spread, write_csv
from shared.run_directories import describe_config, differing, discard, latest_checkpoint
from shared.runs import Run

MOST_BESIDE = 100
RESAMPLES = 10_000
SPANISH = {" to ": " a ", "(1 seed)": "(1 semilla)"}
ITEMS = "items.jsonl"  # what a cell without training keeps of its items beside their numbers
Item = tuple[dict[str, float], dict[str, Any]]
"""Numbers of a question, a text, …, which are logged; and what else is kept of it (its film, the answer)."""
Train = Callable[[Path, bool], object]
"""Takes the directory of a run, and whether to resume the run in it from a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a study keeps its runs and puts its results; each says its own defaults."""

    runs: Path
    """Where the runs are kept."""
    out: Path
    """Where the CSV files and figures go."""


# ---------------------------------------------------------------- cells


@dataclass(frozen=True)
class Done:
    """A finished cell.

    Attributes:
        name: Unique in its study; the name of its directory.
        config: What it was told.
        source: Its verified log, to be cited.
        final: Whether it is one of those that a table's means are made of.
        directory: The run's; None where only its log is there.
        since: Line of its log from which on it is shown (see `by_line`).
    """

    name: str
    config: Any
    source: Source
    final: bool = False
    directory: Path | None = None
    since: int = 0

    def last(self, metric: str) -> float:
        """A metric's last value in the log."""
        return float(self.source.number(self.source.last(metric)))

    def values(self, metric: str) -> list[float]:
        """A metric of every line that has it: of every item, where a line is an item."""
        return [record[metric] for record in self.source.log.records[self.since :] if metric in record]

    def mean(self, metric: str, digits: int = 6) -> Cited:
        """A metric's mean over all lines that have it."""
        return self.source.window(metric, self.since, len(self.source.log.records) - 1, "mean", digits=digits)

    @property
    def items(self) -> list[dict[str, Any]]:
        """What was kept of each item, in the order of the log."""
        assert self.directory is not None, "what is kept of items is in the run's directory"
        lines = (self.directory / ITEMS).read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]


@dataclass
class Cells:
    """The cells of a study, each trained at most once, in the order in which they were first asked for.

    Attributes:
        runs: Folder of their directories.
        train: Trains a configuration whose `out` and `resume` are set.
        project: Whose runs these are.
        name: Tells cells apart by all that the study varies.
        data: Digest of what a configuration learns from, as the run is given it.
        by: The validation metric that decides, the larger the better: its best checkpoint is cited. By default nothing
            is chosen, and the last checkpoint is cited.
        last: What a run writes when it has ended.
        expected: How many cells the study comes to, about; 0 where nobody said.
    """

    runs: Path
    train: Callable[[Any], object]
    project: str
    name: Callable[[Any], str]
    data: Callable[[Any], str | None]
    by: str = ""
    last: str = "result.json"
    expected: int = 0
    done: dict[str, Done] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def run(self, config: Any, *, final: bool = False) -> Done:
        """The finished cell of a configuration."""
        name = self.name(config)
        found = self.done.get(name) or self._trained(config)
        self.done[name] = replace(found, final=found.final or final)
        return self.done[name]

    def best(self, candidates: Iterable[Any]) -> Any:
        """The candidate that is best on validation; of equals the first."""
        return max(candidates, key=lambda config: max(self.run(config).values(self.by)))

    def repeat(self, config: Any, seeds: Iterable[int]) -> list[Done]:
        """The configuration with each seed: what means and deviations are made of."""
        return [self.run(replace(config, seed=seed), final=True) for seed in seeds]

    @property
    def all(self) -> list[Done]:
        """Every cell."""
        return list(self.done.values())

    @property
    def final(self) -> list[Done]:
        """Those that were repeated."""
        return [done for done in self.all if done.final]

    def _trained(self, config: Any) -> Done:
        def train(out: Path, resume: bool) -> None:
            progress.ahead("cell", len(self.done), self.expected, self.seconds)
            begun = time.monotonic()
            self.train(replace(config, out=out, resume=resume))
            self.seconds.append(time.monotonic() - begun)

        place, data = self.runs / self.name(config), self.data(config)
        directory = complete(place, config, train, project=self.project, data=data, last=self.last)
        source = read_best(directory, team_key(), self.by) if self.by else read_source(directory, team_key())
        return Done(directory.name, config, source, directory=directory)


def complete(
    directory: Path, config: Any, train: Train, *, project: str, data: str | None, last: str = "result.json"
) -> Path:
    """Train a cell unless this very one is done: the same configuration, on the same data. Returns its directory.

    A run of another configuration or other data stays where it is; the cell's own is then beside it, as <name>-2, ….
    For `project`, `data` and `last` see `Cells`.
    """
    for number in range(1, MOST_BESIDE):
        place = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        if place.exists() and (others := _another(place, config, data)):
            progress.say(f"{place} was made with another {others}: not used for this cell")
            continue
        if (place / last).exists():
            return place
        resume = latest_checkpoint(place) is not None
        if place.exists() and any(place.iterdir()) and not resume:
            discard(place, project)  # stopped before there was anything to continue from
        progress.say(f"{'resuming' if resume else 'training'} {place.name}")
        train(place, resume)
        return place
    raise UserError(f"{directory} and {MOST_BESIDE - 2} directories beside it are in use; choose another --runs")


def log_items(
    directory: Path, config: Any, measure: Callable[[], Iterable[Item]], *, project: str, data: str | None
) -> Done:
    """A cell without training: a line of its log an item, so that a mean over items cites their lines.

    `config` says all that the numbers depend on but code and data; `measure` is asked unless this very cell is there.
    """

    def run_it(place: Path, _: bool) -> None:
        lines = []
        with Run(place, project=project, config=config, data=data) as run:
            for number, (metrics, kept) in enumerate(measure()):
                run.log(number, **metrics)
                lines.append(f"{json.dumps(kept, ensure_ascii=False, sort_keys=True)}\n")
        write_text(place / ITEMS, "".join(lines))

    place = complete(directory, config, run_it, project=project, data=data, last=ITEMS)
    return Done(place.name, config, read_source(place, team_key()), directory=place)


def _another(directory: Path, config: Any, data: str | None) -> str:
    """What a run that is there was made with and this cell is not; "" if it is this cell's."""
    if not (directory / LOG_NAME).exists():
        return "purpose" if any(directory.iterdir()) else ""
    with (directory / LOG_NAME).open(encoding="utf-8") as file:
        try:
            opening = json.loads(file.readline())
        except ValueError:
            return ""  # cut in its first line, and discarded: or refused, if it is not ours
    if not (directory / "config.json").exists():
        return ""
    names = differing(describe_config(config), read_json(directory / "config.json"))
    return ", ".join([*names, *(["data"] if opening.get("data") != data else [])])


# ---------------------------------------------------------------- tables

Group = Sequence[Done]
"""The cells behind one row: a single one, or the seeds of a mean."""
Shown = Callable[[dict[str, Any], list[dict[str, Any]]], str]
"""What the README shows of a row of the CSV, given all its rows."""


@dataclass(frozen=True)
class Column:
    """One thing that a table says of each of its rows, once for CSV, README and notebook.

    Attributes:
        names: Its fields in the CSV, none if it is only shown.
        of: From the cells of a row to the values of these fields: citations, or plain values, which nobody recomputes.
        head: Its heading in English, "" if the README does not show it; `es` is the Spanish one.
        show: A format of the row's fields, or a function of the row and all rows.
    """

    names: tuple[str, ...]
    of: Callable[[Group], Sequence[Any]]
    head: str = ""
    es: str = ""
    show: str | Shown = ""

    def shown(self, row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
        """Its cell in the README."""
        if callable(self.show):
            return self.show(row, rows)
        return (self.show or f"{{{self.names[0]}}}").format(**row)


@dataclass(frozen=True)
class Table:
    """A CSV in results/ and its view in the README.

    Attributes:
        name: The file's, without .csv, and the README's block's.
        columns: In the order of the CSV.
        title: What the terminal writes above it; by default the name.
        order: Headings in the order of the README; by default that of the columns.
        made_from: Names of tables in the same folder that it follows from.
        keep_logs: Whether the cited logs are kept beside it.
        spanish: Phrases within its cells → the same in Spanish; longer ones first, beside those of `SPANISH`.
    """

    name: str
    columns: tuple[Column, ...]
    title: str = ""
    order: tuple[str, ...] = ()
    made_from: tuple[str, ...] = ()
    keep_logs: bool = False
    spanish: Mapping[str, str] = field(default_factory=dict)

    def markdown(self, rows: list[dict[str, Any]], language: str = "en") -> str:
        """The README's view of the rows of the CSV, in English ("en") or Spanish ("es")."""
        return markdown_table(*self.view(rows, language))

    def print(self, rows: list[dict[str, Any]]) -> None:
        """Show the same view in the terminal."""
        progress.table(self.title or self.name, *self.view(rows))

    def view(self, rows: list[dict[str, Any]], language: str = "en") -> tuple[list[str], list[list[str]]]:
        """Headings and cells of the README's view."""
        by_head = {column.head: column for column in self.columns}
        shown = [by_head[head] for head in self.order] or [column for column in self.columns if column.head]
        cells = [[column.shown(row, rows) for column in shown] for row in rows]
        if language == "en":
            return [column.head for column in shown], cells
        words = {**SPANISH, **self.spanish}
        any_of = re.compile("|".join(re.escape(phrase) for phrase in sorted(words, key=len, reverse=True)))
        cells = [[any_of.sub(lambda found: words[found[0]], cell) for cell in row] for row in cells]
        return [column.es or column.head for column in shown], cells


def plain(name: str, of: Callable[[Group], Any], **shown: Any) -> Column:
    """A value that is not cited: a name, or what follows from the row's other fields."""
    return Column((name,), lambda group: [of(group)], **shown)


def table(name: str, *columns: Column | tuple[str, str, str | Shown], **options: Any) -> Table:
    """A table; a column that follows from fields of the CSV has only its two headings and what is shown."""
    return Table(name, tuple(c if isinstance(c, Column) else Column((), lambda _: [], *c) for c in columns), **options)


def setting(name: str, **shown: Any) -> Column:
    """A value of the cells' configuration."""
    return plain(name, lambda group: getattr(group[0].config, name), **shown)


def settings(*names: str) -> tuple[Column, ...]:
    """Values of the cells' configuration, a column each."""
    return tuple(map(setting, names))


CELL = plain("cell", lambda group: group[0].name)
FINAL = plain("final", lambda group: int(group[0].final))
REPEATS = plain("seeds", len, head="seeds", es="semillas")


def last(name: str, metric: str = "", digits: int | None = None, **shown: Any) -> Column:
    """A metric's last value in the log of a row's only cell."""
    return Column((name,), lambda group: [replace(group[0].source.last(metric or name), digits=digits)], **shown)


def best(name: str, **shown: Any) -> Column:
    """A metric's largest value in the log of a row's only cell."""
    return Column((name,), lambda group: [group[0].source.best(name)], **shown)


def mean_sd(name: str, metric: str = "", **shown: Any) -> Column:
    """Mean and sample standard deviation over a row's cells of a metric's last value, shown to four digits."""

    def cited(group: Group) -> list[Cited]:
        each = [done.source.last(metric or name) for done in group]
        return [pooled(each, "mean"), pooled(each, "stdev")]

    return Column((name, f"{name}_sd"), cited, **{"show": lambda row, _: spread(row, name), **shown})


def mean(name: str, metric: str = "", digits: int = 6, **shown: Any) -> Column:
    """Mean over the items of all cells of a row, "" if they lack the metric."""

    def cited(group: Group) -> list[Any]:
        each = [done.mean(metric or name, digits) for done in group if done.values(metric or name)]
        return [pooled(each, "mean", digits=digits) if each else ""]

    return Column((name,), cited, **shown)


def interval(name: str, of: Callable[[Done], Sequence[float]], **shown: Any) -> Column:
    """Mean over items with its bootstrap interval, of each item the mean over a row's cells; nobody recomputes it.

    `of` gives a number of each item, the same items in the same order in every cell of a row: of paired answers their
    difference. The bounds are <name>_low and <name>_high.
    """

    def found(group: Group) -> list[float]:
        items = [statistics.fmean(each) for each in zip(*map(of, group), strict=True)]
        return [round(value, 4) for value in (statistics.fmean(items), *bootstrap(items))]

    return Column((name, f"{name}_low", f"{name}_high"), found, **shown)


def bounds(name: str, of: Callable[[Group], tuple[Sequence[float], Sequence[str]]]) -> Column:
    """The bootstrap interval alone, <name>_low and <name>_high, of a mean that another column cites.

    `of` gives a number of each item, and what makes items dependent (the film that they ask about).
    """

    def found(group: Group) -> list[float | str]:
        items, clusters = of(group)
        return [round(bound, 4) for bound in bootstrap(items, clusters)] if items else ["", ""]

    return Column((f"{name}_low", f"{name}_high"), found)


def bootstrap(items: Sequence[float], clusters: Sequence[str] | None = None) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean; the same draws on every machine. See `resampled_means`.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", §13.3.
    """
    low, high = np.percentile(resampled_means(items, clusters), [2.5, 97.5])
    return float(low), float(high)


def resampled_means(items: Sequence[float], clusters: Sequence[str] | None = None) -> Float[np.ndarray, " n"]:
    """Means over RESAMPLES draws, with replacement, of as many items as there are.

    Args:
        clusters: One an item: those of one cluster are not independent, and are drawn together.
    """
    names, place = np.unique(clusters if clusters is not None else np.arange(len(items)), return_inverse=True)
    sums, counts = np.bincount(place, items), np.bincount(place)
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    means: Float[np.ndarray, " n"] = sums[drawn].sum(1) / counts[drawn].sum(1)
    return means


def by_line(done: Done, metric: str, every: int = 1) -> list[list[Done]]:
    """A cell once for each line of its log (or every so many) that has the metric: the points of a curve.

    Each is cut behind its line, where its last values are, and its means are over the lines since the one before.
    """
    log = done.source.log
    ends = [seq for seq, record in enumerate(log.records, start=1) if metric in record][every - 1 :: every]
    cut = [replace(log, records=log.records[:end], macs=log.macs[:end]) for end in ends]
    pieces = zip([0, *ends], cut, strict=False)
    return [[replace(done, source=replace(done.source, log=each), since=since)] for since, each in pieces]


def grouped(cells: Iterable[Done], by: Callable[[Done], Any]) -> list[list[Done]]:
    """The cells that agree in something, in the order of their first ones: a row's seeds, for one."""
    groups: dict[Any, list[Done]] = {}
    for done in cells:
        groups.setdefault(by(done), []).append(done)
    return list(groups.values())


def origin() -> Column:
    """Where a row of one cell comes from: run id, last line of its log, beginning of its checkpoint's digest."""
    return Column(("run", "log_seq", "manifest"), lambda group: list(group[0].source.columns().values()))


def publish(table: Table, groups: Iterable[Group], out: Path, project: str) -> list[dict[str, Any]]:
    """Write and seal a table's CSV, its cited fields from the citations themselves. Returns its rows as read back.

    Args:
        groups: The cells of each row.
        out: Folder of the results.
        project: Whose results they are.

    Raises:
        UserError: If a log was run again since its cell was read, or does not give what is cited.
    """
    rows, cited = [], []
    for group in groups:
        for done in group:
            _refuse_run_again(done)
        logs = {done.source.run: done.source.log for done in group}
        row: dict[str, Any] = {}
        cells: dict[str, Cited] = {}
        for column in table.columns:
            for name, value in zip(column.names, column.of(group), strict=True):
                row[name] = value.text(logs) if isinstance(value, Cited) else value
                cells |= {name: value} if isinstance(value, Cited) else {}
        rows.append(row)
        cited.append(Row([done.source for done in group], cells))
    path = out / f"{table.name}.csv"
    before = path.read_bytes() if path.exists() else b""
    made_from = tuple(f"{name}.csv" for name in table.made_from)
    write(path, rows, project, cited, made_from=made_from, keep_logs=table.keep_logs)
    progress.say(f"{path}: {'as before' if path.read_bytes() == before else 'changed' if before else 'new'}")
    return read_csv(path)


def write(path: Path, rows: list[dict[str, Any]], project: str, cited: list[Row] | None = None, **told: Any) -> None:
    """Write a CSV and seal it; `told` is what else `seal_table` takes."""
    write_csv(path, rows)
    seal_table(path, project=project, key=team_key(), rows=cited, **told)


def _refuse_run_again(done: Done) -> None:
    if done.directory is None:
        return
    with (done.directory / LOG_NAME).open(encoding="utf-8") as file:
        if json.loads(file.readline()) != done.source.log.opening:
            raise UserError(f"{done.directory} was run again since its log was read; start again")


def written(out: Path, *tables: Table) -> dict[str, tuple[Table, list[dict[str, Any]]]]:
    """Tables that have been written, by name, which is that of the README's block: each with its rows."""
    return {each.name: (each, read_csv(path)) for each in tables if (path := out / f"{each.name}.csv").exists()}


def finish(out: Path, views: Views) -> None:
    """Say what the results were made on, remove logs that no table cites any more, and fill the READMEs."""
    remove_uncited_logs(out, team_key())
    write_json(out / "environment.json", devices.describe_environment())
    put_tables(out, views)
