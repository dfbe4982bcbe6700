"""`python -m shared.fingerprint COMMAND`: make the keys of a course, and verify what teams hand in."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint import course, results
from shared.fingerprint.keys import Keys, team_key
from shared.fingerprint.verdicts import Finding, Verdict, gravest
from shared.fingerprint.verify import not_begun, verify_all
from shared.progress import table

WHERE = (Path("runs"), Path("projects"), Path("shared/fingerprint/results"))


@dataclass(frozen=True)
class Verify:
    """Verify logs, checkpoints, runs, results, or folders of these; by default the whole repository."""

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """What to verify; by default runs/, every results/ folder below projects/, and this package's own."""
    course_key: Path | None = None
    """Verify as a grader, with the keys of all teams that this course key has issued."""
    team: str | None = None
    """With --course-key: accept this team's seals only."""
    recompute: bool = False
    """Regenerate the tables' numbers from the logs they cite."""
    allow_demo: bool = False
    """Exit with 0 if nothing worse than UNTRUSTED-DEMO is found."""
    json: Path | None = None
    """Write a report here."""


@dataclass(frozen=True)
class NewCourseKey:
    """Make a course key and its empty register."""

    file: tyro.conf.Positional[Path]
    """Written with mode 0600; the register goes beside it."""
    course: str = "CC0C2"
    """Name of the course; with the year, it salts every team's key."""
    year: int = 2026
    """Year in which the course is given."""


@dataclass(frozen=True)
class IssueTeamKey:
    """Derive a team's key and enter it in the register."""

    course_key: Path
    """The course's key file."""
    team: str
    """Name of the team."""
    out: Path
    """Written with mode 0600, to be handed to the team over a private channel."""
    epoch: int = 1
    """Counts the team's keys."""


@dataclass(frozen=True)
class Revoke:
    """Refuse a team's key of one epoch from now on."""

    course_key: Path
    """The course's key file."""
    team: str
    """Name of the team."""
    epoch: int
    """Epoch of the key."""
    reason: str = "no reason given"
    """Shown to whoever verifies."""


@dataclass(frozen=True)
class SealTable:
    """Seal CSV files that come from no run (a benchmark's timings) with the environment's key."""

    tables: tyro.conf.Positional[tuple[Path, ...]]
    """projects/<name>/results/<table>.csv"""


Command = (
    Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[NewCourseKey, tyro.conf.subcommand("new-course-key")]
    | Annotated[IssueTeamKey, tyro.conf.subcommand("issue-team-key")]
    | Annotated[Revoke, tyro.conf.subcommand("revoke")]
    | Annotated[SealTable, tyro.conf.subcommand("seal-table")]
)


def main(chosen: Any) -> int:
    """Fingerprints of runs, checkpoints and results."""
    if isinstance(chosen, Verify):
        return verify_command(chosen)
    if isinstance(chosen, NewCourseKey):
        course.new_course_key(chosen.file, chosen.course, chosen.year)
        print(f"{chosen.file}: keep it secret; {course.register_path(chosen.file)}: keep it beside the key")
    elif isinstance(chosen, IssueTeamKey):
        key = course.issue_team_key(chosen.course_key, chosen.team, chosen.epoch, chosen.out)
        print(f"{chosen.out}: key {key.id}; the team sets CC0C2_TEAM_KEY_FILE to its path")
    elif isinstance(chosen, Revoke):
        course.revoke(chosen.course_key, chosen.team, chosen.epoch, chosen.reason)
        print(f"epoch {chosen.epoch} of {chosen.team} is refused from now on")
    elif isinstance(chosen, SealTable):
        for path in chosen.tables:
            if not path.is_file():
                raise UserError(f"{path} is not there")
            results.seal_table(path, project=path.resolve().parent.parent.name, key=team_key())
            print(f"{path}{results.SUFFIX}: sealed")
    return 0


def verify_command(chosen: Verify) -> int:
    """Print a verdict for each thing found; return the code of the gravest."""
    for path in chosen.paths:
        if not path.exists():
            raise UserError(f"nothing to verify: {path} is not there")
    keys: Keys = course.grader(chosen.course_key, chosen.team) if chosen.course_key else team_key()
    findings = verify_all(chosen.paths or WHERE, keys, recompute=chosen.recompute, runs=[Path("runs")])
    findings += [finding for path in chosen.paths for finding in not_begun(path)]
    if not findings and chosen.paths:
        raise UserError(f"nothing to verify: {', '.join(map(str, chosen.paths))} holds no log and no manifest")
    table("Fingerprints", ["verdict", "path", "found"], [_row(f) for f in findings])
    worst = gravest(findings)
    code = 0 if worst is Verdict.UNTRUSTED_DEMO and chosen.allow_demo else worst.exit_code
    print(explain(findings, worst, chosen.allow_demo))
    if chosen.json:
        write_json(chosen.json, report(findings, worst, code))
    return code


def _row(finding: Finding) -> tuple[str, str, str]:
    """Verdict, path and detail; bytes of a file name that are not UTF-8 are spelled out."""
    path, found = (text.encode("utf-8", "backslashreplace").decode() for text in (str(finding.path), finding.detail))
    return finding.verdict.value, path, found


def explain(findings: list[Finding], worst: Verdict, allowed: bool) -> str:
    """One line for whoever reads no table."""
    if not findings:
        return "Nothing to verify yet: runs/ is made by the first run."
    count = len({f.path for f in findings})
    if worst is Verdict.UNTRUSTED_DEMO:
        note = "allowed here by --allow-demo" if allowed else "set CC0C2_TEAM_KEY_FILE to sign as a team"
        return f"{count} things unchanged, but some are sealed with the demo key, which everybody knows: {note}."
    return f"{count} things verified; the gravest verdict is {worst.value}."


def report(findings: list[Finding], worst: Verdict, code: int) -> dict[str, Any]:
    """The JSON report: every finding, and how many there are of each verdict."""
    counts = {verdict.value: sum(f.verdict is verdict for f in findings) for verdict in Verdict}
    listed = [dict(zip(("verdict", "path", "found"), _row(finding), strict=True)) for finding in findings]
    return {"verdict": worst.value, "exit_code": code, "counts": counts, "findings": listed}


if __name__ == "__main__":
    sys.exit(command(main, Command))  # type: ignore[arg-type]  # tyro takes a union; `command` is typed for a class
