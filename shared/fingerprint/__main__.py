"""`python -m shared.fingerprint verify PATH`: what changed since it was saved, and whose it is."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from shared.errors import command
from shared.fingerprint.verify import verify
from shared.progress import table


@dataclass(frozen=True)
class Arguments:
    """Verify a log, a checkpoint, a run or a tree of runs."""

    action: Annotated[Literal["verify"], tyro.conf.Positional]
    """What to do."""
    path: Annotated[Path, tyro.conf.Positional]
    """A metrics file, a checkpoint folder, a run folder, or a folder of runs."""


def main(arguments: Arguments) -> int:
    """Print a verdict for each thing found; exit with the code of the worst."""
    findings = verify(arguments.path)
    rows = [(f.verdict.value, str(f.path), f.detail) for f in findings]
    table("Fingerprints", ["verdict", "path", "found"], rows)
    return max(finding.verdict.exit_code for finding in findings)


if __name__ == "__main__":
    sys.exit(command(main, Arguments))
