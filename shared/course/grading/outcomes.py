"""What a check came to, in two languages; and the outcomes of a grading that was interrupted."""

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.course.grading.rubric import Limits
from shared.course.project import Project, read_json_or_none
from shared.files import write_json

GIT_SECONDS = 60


class Said(str):
    """A text in English that has its Spanish beside it, so that a page shows one of them and never both in a sentence.

    A plain string, such as what a tool printed, is the same in both.
    """

    es: str

    def __new__(cls, english: str, spanish: str) -> "Said":
        """Take both."""
        said = super().__new__(cls, english)
        said.es = spanish
        return said

    def __add__(self, other: str) -> "Said":
        """Both texts, each with the other's text in its language."""
        return Said(str(self) + str(other), self.es + spanish(other))


def spanish(text: str) -> str:
    """The Spanish of a text, or the text itself."""
    return getattr(text, "es", text)


def not_there(what: str, command: str = "") -> Said:
    """That something is missing, and the command that makes it."""
    return Said(*(f"{what}: {gone}" + (f"; {then}" if then else "")
                  for gone, then in (("not there", str(command)), ("no está", spanish(command)))))  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a check came to.

    Attributes:
        share: The part of the criterion's points, 0 to 1.
        reason: One line.
        detail: What was printed or found, for whom it concerns.
        data: For the report, as JSON values.
        judged: Whether the machine came to an end with it; if not, a person has to, and no points are lost.
    """

    share: float
    reason: str
    detail: str = ""
    data: Any = None
    judged: bool = True


def too_slow(seconds: float, detail: str) -> Outcome:
    """What did not end in its time: a busy machine costs nobody points, and a person looks at what hangs."""
    told = (
        f"not judged: not at its end after {seconds:.0f} s (a machine too slow, or code that hangs)",
        f"sin juzgar: no acabó en {seconds:.0f} s (una máquina demasiado lenta, o código que se cuelga)",
    )
    return Outcome(0.0, Said(*told), detail, judged=False)


@dataclass(frozen=True)
class Context:
    """What the checks of one project need.

    Attributes:
        project: That is graded.
        limits: What each child may use.
        commit: Whose tests are run.
        scratch: An empty folder.
        references: External solutions, those of the rubric; a project.toml may name more.
        memo: What two checks share, by name.
    """

    project: Project
    limits: Limits
    commit: str
    scratch: Path
    references: tuple[str, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """The outcomes so far, in a file where there is one: what was graded before Ctrl-C need not be graded again.

    Attributes:
        path: The file, or None.
        state: Digest of what was graded; outcomes of another state do not count.
        outcomes: By criterion.
    """

    path: Path | None = None
    state: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def add(self, name: str, outcome: Outcome) -> None:
        """Take an outcome; it is on the disk when this returns."""
        self.outcomes[name] = outcome
        if self.path is not None:
            rows = {each: _row(one) for each, one in self.outcomes.items()}
            write_json(self.path, {"state": self.state, "outcomes": rows})

    def forget(self) -> None:
        """The grading is complete: the next one starts anew."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def resumed(project: Project, commit: str, limits: Limits) -> Kept:
    """What an interrupted grading of the same files, runs and team left, or nothing."""
    state = state_of(project, commit, limits)
    if state is None:
        return Kept()
    path = project.graded / "unfinished.json"
    found = read_json_or_none(path) or {}
    rows = found.get("outcomes", {}) if found.get("state") == state else {}
    return Kept(path, state, {name: _outcome(row) for name, row in rows.items()})


def state_of(project: Project, commit: str, limits: Limits) -> str | None:
    """Digest of all that a grade depends on; None outside git."""
    words = (("rev-parse", "HEAD", commit), ("diff", "HEAD"), ("ls-files", "--others", "--exclude-standard"))
    try:
        said = [
            subprocess.run(
                ["git", *each], cwd=project.root, capture_output=True, timeout=GIT_SECONDS, check=True
            ).stdout
            for each in words
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    new = [project.root / name for name in said[2].decode().splitlines()]
    runs = sorted((project.root / "runs" / project.name).rglob("*"))
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in [*new, *runs] if path.is_file()]
    about = [project.name, str(limits), os.environ.get("CC0C2_TEAM", ""), json.dumps(files)]
    return hashlib.sha256(b"\0".join([*said, *(each.encode() for each in about)])).hexdigest()


def _row(outcome: Outcome) -> dict[str, Any]:
    reasons = {"en": str(outcome.reason), "es": spanish(outcome.reason)}
    told = {"share": outcome.share, "reason": reasons, "detail": outcome.detail, "data": outcome.data}
    return {**told, "judged": outcome.judged}


def _outcome(row: dict[str, Any]) -> Outcome:
    reason = Said(row["reason"]["en"], row["reason"]["es"])
    return Outcome(row["share"], reason, row["detail"], row["data"], row["judged"])
