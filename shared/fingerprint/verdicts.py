"""What a verification can find, and the exit code of each finding."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Verdict(Enum):
    """A finding's kind; the value is what is printed."""

    OK = "OK"
    UNTRUSTED_DEMO = "UNTRUSTED-DEMO"
    TAMPERED = "TAMPERED"
    MISSING = "MISSING"
    EXTRA = "EXTRA"
    TRUNCATED = "TRUNCATED"
    INCOMPLETE = "INCOMPLETE"
    WRONG_TEAM = "WRONG-TEAM"

    @property
    def exit_code(self) -> int:
        """0 for OK; 2 is left to wrong usage, so the others start at 10."""
        return 0 if self is Verdict.OK else 9 + list(Verdict).index(self)

    @property
    def unchanged(self) -> bool:
        """Whether the bytes are those that were saved (a demo key says so too, but anybody could have said it)."""
        return self in (Verdict.OK, Verdict.UNTRUSTED_DEMO)


@dataclass(frozen=True)
class Finding:
    """One thing that was verified: where, with what verdict, and what exactly was found."""

    path: Path
    verdict: Verdict
    detail: str


class BrokenError(Exception):
    """Ends the verification of one thing with a verdict."""

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.detail = detail
