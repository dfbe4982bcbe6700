"""`make results-qa_api`: which search finds, which reader answers, and what its scores are worth."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from torch import Tensor

from projects.qa_api import figures
from projects.qa_api.config import RESULTS, Config
from projects.qa_api.data.documents import Language
from projects.qa_api.export import ExportConfig
from projects.qa_api.export import main as export
from projects.qa_api.measure import serving, shown
from projects.qa_api.measure.answering import Answering, answered, asked_of, fitted
from projects.qa_api.measure.searching import LANGUAGES, METHODS, TASKS, Searching, queries, searched
from projects.qa_api.train import ENGLISH_ONLY, questions
from projects.qa_api.train import main as train
from shared import study
from shared.errors import UserError, command
from shared.measured import write_measured
from shared.study import Cells, Done, grouped, log_items, publish

SEEDS = (0, 1, 2)
READERS = ("minilm", "e5")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(study.Places):
    """Run every experiment behind the README's tables."""

    runs: Path = Path("runs/qa_api/results")
    out: Path = RESULTS
    only: tuple[str, ...] = ()
    """Parts to run, of those in PARTS; by default all."""
    tables: tuple[str, ...] = ()
    """Tables of the service to make; by default all."""
    soak: float = 600.0
    """Seconds at twice the capacity, for memory."""


@dataclass
class Study:
    """What is measured, and how much of it; a rehearsal has less."""

    config: StudyConfig
    seeds: tuple[int, ...] = SEEDS
    readers: tuple[str, ...] = READERS
    base: Config = field(default_factory=Config)
    searching: Searching = field(default_factory=lambda: Searching(task="en", method="words"))
    answering: Answering = field(default_factory=lambda: Answering(reader="rules"))

    seconds: float = 20.0

    def __post_init__(self) -> None:
        below: dict[str, list[Tensor]] = {}  # states of the layers that stay: the same for every seed and rate
        self.cells = Cells(
            self.config.runs / "readers",
            partial(train, below=below),
            "qa_api",
            lambda cell: f"{Path(cell.model).name}-seed{cell.seed}",
            lambda cell: questions(cell, "train").digest,
            by="validation_f1",
            expected=len(self.readers) * len(self.seeds),
        )

        self.fitted = cache(fitted)

    def trained(self, model: str) -> list[Done]:
        """The seeds of a reader, one candidate each: as config.py has it."""
        return self.cells.repeat(replace(self.base, model=model), self.seeds)


def searches(run: Study) -> None:
    """Every method on every task; each beside the words and the vectors alone."""
    groups = []
    for task in TASKS:
        own = [searching(run, replace(run.searching, task=task, method=method)) for method in METHODS]
        groups += [[done, *own[:2]] for done in own]
    publish(shown.SEARCH, groups, run.config.out, "qa_api")


def digest(texts: Iterable[str]) -> str:
    """Digest of what a cell depends on."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def searching(run: Study, config: Searching) -> Done:
    """One method on one task."""
    place = run.config.runs / "searches" / f"{config.task.replace(' ', '-')}-{config.method}"
    data = digest([query.text for query in queries(config.task, "test", config.queries)])
    return log_items(place, config, lambda: searched(config), project="qa_api", data=data)


def readers(run: Study) -> None:
    """Both readers, every seed."""
    publish(shown.READERS_TABLE, [run.trained(model) for model in run.readers], run.config.out, "qa_api")


def answers(run: Study) -> None:
    """The questions by hand, end to end: by rules, and by every seed of both readers."""
    own: list[tuple[str, Language, Sequence[Done | None]]]
    own = [(run.answering.reader, language, [None]) for language in LANGUAGES]
    own += [(model, language, run.trained(model)) for model in run.readers
            for language in LANGUAGES if language == "en" or model not in ENGLISH_ONLY]  # fmt: skip
    groups = [[answering(run, replace(run.answering, reader=reader, language=language), done) for done in seeds]
              for reader, language, seeds in own]  # fmt: skip
    publish(shown.ANSWERS, groups, run.config.out, "qa_api")
    by_reader = grouped([done for group in groups for done in group], lambda done: done.config.reader)
    publish(shown.SURE, by_reader, run.config.out, "qa_api")
    publish(shown.CLARIFY, groups, run.config.out, "qa_api")
    study.write(run.config.out / "errors.csv", shown.worst(by_reader[-1]), "qa_api")
    points = [
        point for group in groups if group[0].config.language == "en" for done in group for point in shown.covered(done)
    ]
    study.write(run.config.out / "coverage.csv", points, "qa_api")


def answering(run: Study, config: Answering, done: Done | None) -> Done:
    """One reader's seed on the questions of a language."""
    config = replace(config, seed=done.config.seed if done else 0)
    place = run.config.runs / "answers" / f"{Path(config.reader).name}-{config.language}-seed{config.seed}"
    data = digest([*map(repr, asked_of(config.language)), done.source.run if done else "rules"])
    fit = (done.directory if done else None, config.encoder, config.taught, config.calibrated)
    return log_items(place, config, lambda: answered(run.fitted(*fit), config), project="qa_api", data=data)


def service(run: Study) -> None:
    """The first seed of the last reader, exported, under load, killed, and asked what no client asks."""
    reader = run.trained(run.readers[-1])[0].directory
    assert reader is not None, "it was just trained"
    export(ExportConfig(run=reader))
    for name, rows in serving.measures(reader, seconds=run.seconds, soak=run.config.soak).items():
        if not run.config.tables or name in run.config.tables:
            write_measured(run.config.out / f"{name}.csv", rows(), "qa_api", run.config)


PARTS: dict[str, Callable[[Study], None]] = {"searches": searches, "readers": readers, "answers": answers,
                                             "service": service}  # fmt: skip


def main(config: StudyConfig, run: Study | None = None) -> None:
    """Search, train, answer; tables after every part."""
    run = run or Study(config)
    if unknown := sorted(set(config.only) - set(PARTS)):
        raise UserError(f"--only {unknown[0]}: the parts are {', '.join(PARTS)}")
    for name, part in PARTS.items():
        if name in (config.only or PARTS):
            part(run)
            figures.draw(config.out)
            study.finish(config.out, shown.views(config.out))


if __name__ == "__main__":
    command(main, StudyConfig)
