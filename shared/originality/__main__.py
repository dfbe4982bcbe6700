"""`python -m shared.originality`: compare submissions; see README.md."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from shared import progress
from shared.errors import UserError, reported
from shared.originality import evidence, export, reading, report
from shared.originality.compare import Comparison
from shared.originality.compare import compare as compare_sources

FOUND = 1  # exit code when something is above the threshold


@dataclass(frozen=True)
class Compare:
    """Compare submissions with one another and with references; exit 1 if a pair is above the threshold."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Submissions: files, notebooks or folders, each of another owner."""
    class_folder: Path | None = None
    """A folder in which every file or folder is one submission."""
    reference: tuple[Path, ...] = ()
    """External solutions: submissions are compared with them, they are not with one another."""
    base: tuple[Path, ...] = ()
    """Templates that everybody was given; they do not count."""
    threshold: float = evidence.THRESHOLD
    """Evidence from which a pair counts; 1 is the most that independent pairs reached."""
    out: Path = Path("runs/originality")
    """Folder for report.html, pairs.csv and report.json."""


def main(command: Compare) -> int:
    """Compare and write the reports; what is returned is the exit code."""
    reading.refuse_overlaps((*command.paths, *filter(None, (command.class_folder,)), *command.reference))
    submissions = reading.read_all(command.paths)
    if command.class_folder is not None:
        submissions += reading.read_class(command.class_folder)
    owners = {source.owner for source in submissions}
    if not owners or (len(owners) < 2 and not command.reference):
        raise UserError("nothing to compare: give two submissions or more, a --class-folder, or a --reference")
    references, templates = reading.read_all(command.reference), reading.read_all(command.base)
    found = compare_sources(submissions, references, templates, threshold=command.threshold)
    explained = report.explained_pairs(found)
    report.write_html(found, explained, command.out / "report.html")
    export.write_csv(found, command.out / "pairs.csv")
    export.write_report_json(found, explained, command.out / "report.json")
    _say(found, command.out)
    return FOUND if found.above else 0


def _say(found: Comparison, out: Path) -> None:
    rows = [
        (f"{item.one} ↔ {item.two}", f"{item.best.evidence:.2f}", f"{item.best.p_value:.2g}", f"{item.adjusted:.2g}")
        for item in found.owners[:15]
    ]
    progress.table("Originality", ["submissions", "evidence", "p", "adjusted p"], rows)
    print(
        f"{len(found.above)} of {found.compared} pairs of files at or above {found.threshold:g} "
        f"(1 is the most that {found.calibration.pairs} independent pairs reached); {out / 'report.html'}"
    )
    for line in report.omissions(found):
        print(line)


if __name__ == "__main__":
    with reported():
        sys.exit(main(tyro.cli(Compare, description=__doc__)))
