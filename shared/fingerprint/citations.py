"""Where a published number comes from: the run, the lines of its log, and the rule that makes the number of them.

source = read_source(Path("runs/lora/results/full-seed0"), key)
cell = source.last("test_accuracy")               one line of one log
pooled([a.last(…), b.last(…), c.last(…)], "mean")  a line each of three logs
"""

import lzma
import os
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shared.errors import UserError
from shared.files import atomic_path
from shared.fingerprint import envelope, log, manifest, strict
from shared.fingerprint.keys import Keys
from shared.fingerprint.log import CheckedLog
from shared.fingerprint.verdicts import BrokenError, Verdict

LOG_NAME = "metrics.jsonl"
CHECKPOINTS = "checkpoints"  # a run's folder of them
KEPT = ".jsonl.xz"  # end of the name of a kept log
Number = int | float


def checkpoints(directory: Path) -> list[Path]:
    """A run's checkpoints, by step; what somebody put beside them under another name (step-000120-copy) is not one."""
    found = (path for path in (directory / CHECKPOINTS).glob("step-*") if re.fullmatch("step-[0-9]+", path.name))
    return sorted(found, key=lambda path: int(path.name[5:]))


def _single(values: list[Number]) -> Number:
    (value,) = values
    return value


RULES: dict[str, Callable[[list[Number]], Number]] = {
    "value": _single,
    "mean": statistics.mean,
    "stdev": lambda values: statistics.stdev(values) if len(values) > 1 else 0.0,
    "max": max,
    "min": min,
    "sum": sum,
}


@dataclass(frozen=True)
class Part:
    """Lines `first` to `last` (their seq, both included) of one run's log."""

    run: str
    first: int
    last: int


@dataclass(frozen=True)
class Cited:
    """A number: the field of all records in the parts, put together by a rule.

    Attributes:
        field: Member of the records; those without it are passed over.
        parts: Where the records are.
        rule: A name in RULES.
        digits: Decimals that the number was rounded to, or None.
    """

    field: str
    parts: tuple[Part, ...]
    rule: str = "value"
    digits: int | None = None

    def text(self, logs: dict[str, CheckedLog]) -> str:
        """The number as a CSV holds it, regenerated from verified logs.

        Raises:
            BrokenError: TAMPERED, if the logs do not hold what is cited.
        """
        if not {part.run for part in self.parts} <= logs.keys():
            raise BrokenError(Verdict.WRONG_RUN, f"{self.field} cites a run that its row does not name")
        records = [r for part in self.parts for r in logs[part.run].records[part.first : part.last + 1]]
        values = [record[self.field] for record in records if self.field in record]
        try:
            value = RULES[self.rule](values)
            return str(value if self.digits is None else round(value, self.digits))
        except (KeyError, ValueError, TypeError, ArithmeticError, statistics.StatisticsError):
            raise BrokenError(Verdict.TAMPERED, f"the log gives no {self.rule} of {self.field}") from None

    def as_json(self, runs: list[str]) -> list[Any]:
        """For a seal's body: short, since a table may have thousands; a run is its place in `runs`."""
        parts = [[runs.index(part.run), part.first, part.last] for part in self.parts]
        return [self.field, self.rule, self.digits, parts]

    @classmethod
    def from_json(cls, value: list[Any], runs: list[str]) -> Self:
        """Undo of `as_json`.

        Raises:
            BrokenError: TAMPERED for a value that `as_json` does not write.
        """
        strict.shaped(value, lambda each: isinstance(each, list) and len(each) == 4, "a citation")
        name, rule, digits, parts = value
        described = {"field": name, "rule": rule, "digits": digits, "parts": parts}
        fits = {"field": str, "rule": str, "digits": strict.optional(int), "parts": [[int]]}
        strict.shaped(described, fits, "a citation")
        if any(len(part) != 3 or part[0] >= len(runs) for part in parts):
            raise BrokenError(Verdict.TAMPERED, "a citation is malformed")
        return cls(name, tuple(Part(runs[run], first, last) for run, first, last in parts), rule, digits)


def pooled(cells: Iterable[Cited], rule: str, *, digits: int | None = None) -> Cited:
    """One number from several, for example the mean of three seeds' accuracies."""
    cells = list(cells)
    (name,) = {cell.field for cell in cells}
    return Cited(name, tuple(part for cell in cells for part in cell.parts), rule, digits)


@dataclass(frozen=True)
class Source:
    """A finished run whose log verifies.

    Attributes:
        log: Its checked lines.
        manifest: SHA-256 of the manifest of the checkpoint that the numbers belong to, or None.
    """

    path: Path
    log: CheckedLog
    manifest: str | None

    @property
    def run(self) -> str:
        """The run's id."""
        return self.log.opening["run"]

    def last(self, field: str) -> Cited:
        """The field's last value.

        Raises:
            UserError: If no line has it.
        """
        return self._at(field, self._lines(field)[-1])

    def best(self, field: str) -> Cited:
        """The field's largest value; of equals the first. Raises as `last`."""
        return self._at(field, max(self._lines(field), key=lambda seq: self.log.records[seq][field]))

    def window(self, field: str, first: int, last: int, rule: str, *, digits: int | None = None) -> Cited:
        """The field over lines `first` to `last`, by a rule."""
        return Cited(field, (Part(self.run, first, last),), rule, digits)

    def also(self, cell: Cited, field: str) -> Cited:
        """Another field of the very lines that `cell` cites."""
        return Cited(field, cell.parts, cell.rule, cell.digits)

    def number(self, cell: Cited) -> str:
        """What `cell` comes to in this log alone."""
        return cell.text({self.run: self.log})

    def as_json(self) -> dict[str, Any]:
        """What a seal keeps of a cited run: where its log ended, and in what."""
        ended = {"lines": len(self.log.records), "mac": self.log.macs[-1]}
        return {"run": self.run, **ended, "manifest": self.manifest}

    def columns(self) -> dict[str, Any]:
        """What a row of a CSV says of its origin: run id, last line of the log (its seq), start of the digest."""
        return {"run": self.run, "log_seq": len(self.log.records) - 1, "manifest": (self.manifest or "")[:16]}

    def _lines(self, field: str) -> list[int]:
        found = [seq for seq, record in enumerate(self.log.records) if field in record]
        if not found:
            raise UserError(f"{self.path}: no line holds {field}")
        return found

    def _at(self, field: str, seq: int) -> Cited:
        return Cited(field, (Part(self.run, seq, seq),))


def read_source(directory: Path, keys: Keys, *, step: int | None = None) -> Source:
    """A finished run, to be cited.

    Args:
        keys: Whose seals are accepted.
        step: The checkpoint that the numbers belong to; by default the newest that is there.

    Raises:
        UserError: If the log is changed or not closed, or the manifest does not hold.
    """
    path = directory / LOG_NAME
    try:
        checked = log.check_log(path, keys)
        if not checked.closed:
            raise BrokenError(Verdict.INCOMPLETE, "the log has no closing line")
        wanted = [folder for folder in checkpoints(directory) if step is None or int(folder.name[5:]) == step]
        digest = manifest_digest(wanted[-1], keys) if wanted else None
    except BrokenError as broken:
        found = broken.at(path)
        raise UserError(f"{found.path}: {found.verdict.value}, {found.detail}; cannot be cited") from None
    return Source(path, checked, digest)


def read_best(directory: Path, keys: Keys, metric: str) -> Source:
    """A finished run, with the checkpoint that was best by a logged metric: the one that was kept and tested.

    Raises:
        UserError: As `read_source`, or if the checkpoint is not there any more.
    """
    found = read_source(directory, keys)
    best = found.best(metric).parts[0].first
    return read_source(directory, keys, step=found.log.records[best]["step"])


def manifest_digest(folder: Path, keys: Keys) -> str:
    """SHA-256 of a sealed folder's manifest, once its MAC holds."""
    return envelope.read(folder / manifest.NAME, manifest.KIND, keys).digest


def keep_log(source: Source, folder: Path) -> Path:
    """Put a compressed copy of a log beside the results, so that they can be recomputed without the runs.

    The copy's bytes depend on the log alone. Returns its path, <folder>/<run id>.jsonl.xz.
    """
    target = folder / f"{source.run}{KEPT}"
    with atomic_path(target) as temporary:
        temporary.write_bytes(lzma.compress(strict.read_regular(source.path, log.LARGEST), preset=9))
    return target


class Library:
    """Finds the log of a run id: kept beside the results, or among the runs of this machine."""

    def __init__(self, keys: Keys, roots: Iterable[Path]) -> None:
        self._keys = keys
        self._roots = list(roots)
        self._paths: dict[str, Path] | None = None
        self._checked: dict[Path, CheckedLog] = {}

    def directory(self, run: str) -> Path | None:
        """The run's directory, if it is on this machine."""
        if self._paths is None:
            found = sorted({path for root in self._roots for path in root.rglob(LOG_NAME)})
            named = [(_claimed_run(path), path) for path in found]
            self._paths = {name: path for name, path in named if name}
        path = self._paths.get(run)
        return path.parent if path else None

    def log(self, run: str, kept: Path) -> CheckedLog:
        """The checked log of a run, from the folder of kept logs or else from the run's directory.

        Raises:
            BrokenError: MISSING if it is nowhere, WRONG_RUN if it is another run's, else as `log.check_log`.
        """
        path = kept / f"{run}{KEPT}"
        directory = None if path.exists() else self.directory(run)
        if directory is not None:
            path = directory / LOG_NAME
        if path not in self._checked:
            self._checked[path] = self._check(path, run)
        return self._checked[path]

    def _check(self, path: Path, run: str) -> CheckedLog:
        try:
            checked = log.check_log(path, self._keys)
        except BrokenError as broken:
            reason = f"the log of run {run} is not here" if broken.verdict is Verdict.MISSING else broken.detail
            raise BrokenError(broken.verdict, reason, path) from None
        if checked.opening.get("run") != run:
            raise BrokenError(Verdict.WRONG_RUN, f"is the log of run {checked.opening.get('run')}, not of {run}", path)
        return checked


def _claimed_run(path: Path) -> str | None:
    """The run id in a log's first line, unverified: only to find the file."""
    try:
        with strict.open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
            name = strict.loads(file.readline(65536), "line 1")["run"]
    except (BrokenError, KeyError, TypeError):
        return None
    return name if strict.is_label(name) else None
