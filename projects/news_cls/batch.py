"""Files of articles, classified by several workers: `python -m projects.news_cls.batch --files news/*.csv --workers 2`.

Each file is one task of Ray's and has one answer, written whole or not at all: whoever is started again does what is
missing and nothing else, and a worker that dies costs the file that it had, which is given to another one. With
--cluster the workers are those of a cluster, which sees the same folders. Starting takes about twenty seconds of a
core: every worker imports torch and reads the model.
"""

import csv
import io
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from projects.news_cls.server.files import harmless, read_rows
from shared import checks
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_text

if TYPE_CHECKING:
    from projects.news_cls.classifier import Classifier

MOST_ROWS = 1_000_000
CHUNK = 64
RETRIES = 2  # of a file whose worker died
OBJECTS = 100_000_000  # bytes that Ray keeps in shared memory: tasks hand over paths and counts, not texts


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Classify files of articles on several workers, and go on where an earlier run was stopped."""

    files: tuple[Path, ...] = ()
    """CSV files in UTF-8, each with a header."""
    out: Path = Path("runs/news_cls/batch")
    """Folder of the answers: <name>.csv for each file."""
    column: str = "text"
    """Column of the text."""
    run: Path = Path("runs/news_cls/served")
    """The run whose model answers."""
    workers: int = 2
    """Processes on this machine."""
    cluster: str = ""
    """Address of a Ray cluster, ray://host:10001, instead of workers here."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "workers")
        checks.at_most(self, 64, "workers")
        if not self.files:
            raise UserError("--files: names no file")
        names = [path.stem for path in self.files]
        if len(set(names)) < len(names):
            raise UserError("--files: two files have one name, and would have one answer")
        if any(path.absolute().parent == self.out.absolute() for path in self.files):
            raise UserError(f"--out {self.out}: holds the files themselves; name another folder")


@cache
def _classifier(run: Path) -> "Classifier":
    """A worker's own, read once. Its threads are those that Ray gives a task (OMP_NUM_THREADS): one.

    torch is imported here, so that whoever only hands out files does without it.
    """
    from projects.news_cls.classifier import Classifier

    return Classifier.load(run)


def classify_file(run: Path, path: Path, target: Path, column: str) -> int:
    """One task: answers of a file, written atomically. Returns how many.

    Raises:
        UserError: If the file cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        rows = read_rows(path.read_bytes(), column, MOST_ROWS)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    classifier, out = _classifier(run), io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*map(harmless, rows[0]), "topic", "probability", "unsure"])
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        for row, answer in zip(part, classifier.answer([row[column] for row in part]), strict=True):
            best = answer.probabilities[0]
            writer.writerow([*map(harmless, row.values()), best[0], f"{best[1]:.4f}", "yes" if answer.unsure else "no"])
    write_text(target, out.getvalue())
    return len(rows)


def missing(config: BatchConfig) -> list[tuple[Path, Path]]:
    """Files without an answer, each with its answer's place."""
    pairs = [(path.absolute(), (config.out / f"{path.stem}.csv").absolute()) for path in config.files]
    return [(path, target) for path, target in pairs if not target.is_file()]


def main(config: BatchConfig) -> int:
    """Classify files of articles on several workers. Returns how many articles."""
    refuse_unwritable(config.out)
    left = missing(config)
    done = sum(_over(config, left)) if left else 0
    print(f"{done} articles in {len(left)} files; {len(config.files) - len(left)} files were done before")  # noqa: T201
    return done


def _over(config: BatchConfig, left: list[tuple[Path, Path]]) -> list[int]:
    """Articles of each file, from Ray's workers.

    Raises:
        UserError: If there is no such cluster, a worker says so, or one file's workers die again and again.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # else a file that takes all memory is tried for ever
    import ray

    from projects.news_cls.batch import classify_file as work  # by the name that a worker imports, not __main__'s

    try:
        ray.init(**_where(config))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"--cluster {config.cluster}: {str(error).splitlines()[0]}") from None
    try:
        task = ray.remote(max_retries=RETRIES)(work)
        run = config.run.absolute()
        return list(ray.get([task.remote(run, path, target, config.column) for path, target in left]))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        raise UserError(f"a file's worker died {RETRIES + 1} times: what is done stays, see --workers 1") from None
    finally:
        ray.shutdown()


def _where(config: BatchConfig) -> dict[str, Any]:
    """What ray.init is told: a cluster, or one process a worker here, one task at a time in each."""
    if config.cluster:
        return {"address": config.cluster}
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    return {"address": "local", "num_cpus": config.workers, "object_store_memory": OBJECTS, **quiet}


if __name__ == "__main__":
    command(main, BatchConfig)
