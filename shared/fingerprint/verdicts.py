"""What a verification can find, and the exit code of each finding."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Verdict(Enum):
    """A finding's kind, from harmless to grave; the value is what is printed."""

    OK = "OK"
    SEALED_ONLY = "SEALED-ONLY"
    UNTRUSTED_DEMO = "UNTRUSTED-DEMO"
    INCOMPLETE = "INCOMPLETE"
    EXTRA = "EXTRA"
    MISSING = "MISSING"
    TRUNCATED = "TRUNCATED"
    UNKNOWN_EPOCH = "UNKNOWN-EPOCH"
    WRONG_TEAM = "WRONG-TEAM"
    WRONG_RUN = "WRONG-RUN"
    REPLAYED = "REPLAYED"
    TAMPERED = "TAMPERED"

    @property
    def exit_code(self) -> int:
        """0 where nothing is wrong; 2 is left to wrong usage, so the others start at 10. A code keeps its meaning."""
        return EXIT_CODES[self]

    @property
    def unchanged(self) -> bool:
        """Whether the bytes are those that were saved (a demo key says so too, but anybody could have said it)."""
        return self in (Verdict.OK, Verdict.SEALED_ONLY, Verdict.UNTRUSTED_DEMO)

    @property
    def grave(self) -> bool:
        """Whether something is wrong, and not merely unfinished."""
        return self.gravity > Verdict.INCOMPLETE.gravity

    @property
    def gravity(self) -> int:
        """Rank among the verdicts: of several findings the gravest speaks for all."""
        return list(Verdict).index(self)


EXIT_CODES = {
    Verdict.OK: 0,
    Verdict.SEALED_ONLY: 0,
    Verdict.UNTRUSTED_DEMO: 10,
    Verdict.TAMPERED: 11,
    Verdict.MISSING: 12,
    Verdict.EXTRA: 13,
    Verdict.TRUNCATED: 14,
    Verdict.INCOMPLETE: 15,
    Verdict.WRONG_TEAM: 16,
    Verdict.WRONG_RUN: 17,
    Verdict.REPLAYED: 18,
    Verdict.UNKNOWN_EPOCH: 19,
}


@dataclass(frozen=True)
class Finding:
    """One thing that was verified: where, with what verdict, and what exactly was found."""

    path: Path
    verdict: Verdict
    detail: str


def gravest(findings: Iterable[Finding]) -> Verdict:
    """The verdict that speaks for all findings; OK if there is none."""
    return max((finding.verdict for finding in findings), key=lambda verdict: verdict.gravity, default=Verdict.OK)


class BrokenError(Exception):
    """Ends the verification of one thing with a verdict.

    Attributes:
        verdict: What was found.
        detail: The reason, with the line or the tensor.
        path: The file at fault, where it is not the file that was being read.
    """

    def __init__(self, verdict: Verdict, detail: str, path: Path | None = None) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.detail = detail
        self.path = path

    def at(self, path: Path) -> Finding:
        """The finding that this becomes, at its own path or else at `path`."""
        return Finding(self.path or path, self.verdict, self.detail)
