"""A cell of an experiment: a run whose log holds one line an item, so that every mean in a table can cite its lines."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import study
from shared.files import write_text
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Source, read_source
from shared.runs import Run

MEANING = 2  # raised when a score or a word comes to mean something else: what was measured before is another cell

Item = tuple[dict[str, float], dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """What is measured.

    Attributes:
        study: retrieval, answers, …
        name: Unique in the study.
        settings: Everything that its numbers depend on, beside the code.
        meaning: Of the scores; see MEANING.
    """

    study: str
    name: str
    settings: dict[str, Any]
    meaning: int = MEANING

    @property
    def folder(self) -> str:
        """Its run's place below the folder of all runs."""
        return f"{self.study}/{self.name}"


@dataclass(frozen=True)
class Done:
    """A finished cell.

    Attributes:
        cell: Which.
        source: Its verified log.
        details: What was kept of each item beside its numbers (film, answer, …), in the order of the log.
    """

    cell: Cell
    source: Source
    details: list[dict[str, Any]]

    def values(self, name: str) -> list[float]:
        """A metric of every item."""
        return [record[name] for record in self.source.log.records if name in record]

    def mean(self, name: str) -> tuple[float, Cited]:
        """A metric's mean over all items, and its citation."""
        cited = self.source.window(name, 0, len(self.source.log.records) - 1, "mean", digits=6)
        return float(self.source.number(cited)), cited


def complete(runs: Path, cell: Cell, data: str, measure: Callable[[], Iterable[Item]]) -> Done:
    """Measure a cell unless that was done with the same settings and data.

    Args:
        runs: Folder of all runs.
        cell: What.
        data: Digest of the questions or texts.
        measure: Yields (numbers, what else is kept) item by item.
    """

    def run_it(place: Path, _: bool) -> None:
        with Run(place, project="rag_agent", config=cell, data=data) as run:
            kept = list(_logged(run, measure()))
        lines = (json.dumps(each, ensure_ascii=False, sort_keys=True) for each in kept)
        write_text(place / "details.jsonl", "".join(f"{line}\n" for line in lines))

    directory = study.complete(runs / cell.folder, cell, run_it, project="rag_agent", data=data, last="details.jsonl")
    details = (directory / "details.jsonl").read_text(encoding="utf-8").split("\n")
    return Done(cell, read_source(directory, team_key()), [json.loads(line) for line in details if line])


def _logged(run: Run, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    for number, (metrics, details) in enumerate(items):
        run.log(number, **metrics)
        yield details
