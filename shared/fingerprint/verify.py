"""Verify whatever a path is: a log, a checkpoint, a run, a folder of results, or a tree of all of these.

Whatever is read is bounded, in bytes and in work, and each thing found ends in a verdict: nobody's submission keeps the
verifier from the next one.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import is_temporary
from shared.fingerprint import events, log, manifest, results, strict
from shared.fingerprint.citations import CHECKPOINTS, LOG_NAME, Library
from shared.fingerprint.envelope import Sealed
from shared.fingerprint.keys import Keys, team_key
from shared.fingerprint.log import CheckedLog
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict
from shared.progress import table

RUNS, RESULTS = "runs", "results"
REPOSITORY = Path(__file__).resolve().parents[2]
BOUND = {"config": "config.json", "env": "env.json"}  # member of the log's first line → file whose digest it is


def verify(path: Path, key: Keys | None = None, *, recompute: bool = False) -> list[Finding]:
    """One finding for each intact log, checkpoint and table below `path`, and one for each thing that is wrong.

    Args:
        path: A metrics file, a checkpoint folder, a run folder, a folder of results, or a folder of those.
        key: By default the key of the environment.
        recompute: Regenerate the tables' numbers from the logs.

    Raises:
        UserError: If there is nothing at the path, or nothing that carries a fingerprint.
    """
    if not path.exists():
        raise UserError(f"nothing to verify: {path} is not there")
    findings = verify_all([path], key or team_key(), recompute=recompute) or not_begun(path)
    if not findings:
        raise UserError(f"nothing to verify: {path} holds no log and no manifest")
    return findings


def not_begun(path: Path) -> list[Finding]:
    """A folder without a file: a run that was killed before it wrote its first one leaves that."""
    empty = path.is_dir() and all(each.is_dir() for each in path.rglob("*"))
    return [Finding(path, Verdict.INCOMPLETE, "holds no file yet")] if empty else []


def refuse_changed(path: Path) -> list[Finding]:
    """Show the verdict on everything that is sealed below `path`.

    Raises:
        UserError: If something changed since it was saved.
    """
    findings = verify(path)
    rows = [(finding.path.name, finding.verdict.value, finding.detail) for finding in findings]
    table(f"Fingerprints of {path.name}", ["what", "verdict", "found"], rows)
    for finding in findings:
        if not finding.verdict.unchanged:
            raise UserError(f"{finding.path}: {finding.verdict.value}, {finding.detail}")
    return findings


def verify_all(
    paths: Iterable[Path], keys: Keys, *, recompute: bool = False, runs: Iterable[Path] = ()
) -> list[Finding]:
    """As `verify`, for several paths at once; an empty list if there is nothing.

    Args:
        paths: Those that are not there are passed over.
        keys: Whose seals are accepted.
        recompute: Regenerate the tables' numbers from the logs.
        runs: Further folders in which cited logs are looked for.
    """
    paths = [path for path in paths if path.exists()]
    library = Library(keys, [*(path for path in paths if path.is_dir()), *runs])
    findings: list[Finding] = []
    opened: dict[str, Path] = {}
    for path in paths:
        for thing in things(path):
            if isinstance(thing, Finding):
                findings.append(thing)
                continue
            kind, found = thing
            if kind == "run":
                findings += verify_run(found, keys, opened)
            elif kind == "sealed":
                findings += manifest.verify_directory(found, keys)
            elif kind == "results":
                findings += results.verify_folder(found, keys, library, recompute=recompute)
            else:
                findings.append(log.verify_log(found, keys))
    return list(dict.fromkeys(findings))  # two tables may accuse one run


def things(path: Path) -> Iterator[tuple[str, Path] | Finding]:
    """("log" | "run" | "sealed" | "results", path) of all that carries a fingerprint.

    What cannot be looked into, since it cannot be read or is a link where something sealed belongs, is a finding.
    """
    if path.is_file():
        yield ("results", path.parent) if results.is_table(path.name) else ("log", path)
        return
    if (path / manifest.NAME).exists() or path.parent.name == CHECKPOINTS:
        yield "sealed", path
        return
    if path.is_symlink() and path.name in (RESULTS, CHECKPOINTS):
        yield _link(path)
        return
    closed: list[OSError] = []
    runs: list[Path] = []
    for place, folders, files in os.walk(path, onerror=closed.append):
        here = Path(place)
        links = {name for name in folders if (here / name).is_symlink()}
        yield from (_link(here / name) for name in sorted(links) if _belongs_here(here / name))
        folders[:] = sorted(name for name in folders if name not in links and not is_temporary(here / name))
        within = any(run in here.parents for run in runs)
        if LOG_NAME in files or CHECKPOINTS in folders or CHECKPOINTS in links:
            yield "run", here
            runs.append(here)
            folders[:] = [name for name in folders if name != CHECKPOINTS]
        elif manifest.NAME in files:
            if not within:  # the run that it is of verifies it
                yield "sealed", here
            folders.clear()
        elif not within and _holds_tables(here, files):
            yield "results", here  # and on: a folder of runs may be called results too
    for error in closed:
        if not isinstance(error, FileNotFoundError):  # a live run replaces folders while one looks
            yield Finding(Path(error.filename), Verdict.TAMPERED, f"cannot be read ({error.strerror})")


def _belongs_here(link: Path) -> bool:
    """Whether something sealed is expected where a link is: anywhere below runs/ or results/."""
    return not {RUNS, RESULTS, CHECKPOINTS}.isdisjoint(strict.place_of(link).parts)


def _holds_tables(folder: Path, files: Iterable[str]) -> bool:
    above = strict.place_of(folder).parts
    if folder.name == RESULTS or any(name.endswith(f".csv{results.SUFFIX}") for name in files):
        return True
    return RESULTS in above and any(results.is_table(name) for name in files)


def _link(path: Path) -> Finding:
    reason = "is a symbolic link: what it leads to can be exchanged without touching this folder"
    return Finding(path, Verdict.TAMPERED, reason)


def verify_run(directory: Path, keys: Keys, opened: dict[str, Path] | None = None) -> list[Finding]:
    """Findings for a run: its log, configuration, checkpoints and event files, each alone and against the log.

    The run may be going on: its folders are read before the log, so that the log is no shorter than they say, and one
    that was replaced meanwhile is not judged.

    Args:
        keys: Whose seals are accepted.
        opened: Run id → directory of the runs seen so far; this run is added. The same id twice is a copy.
    """
    path, checked = directory / LOG_NAME, None
    findings: list[Finding] = []
    inspected = {}
    for folder in _sealed_folders(directory):
        with suppress(FileNotFoundError):  # replaced while it was read
            inspected[folder] = manifest.inspect(folder, keys)
    inspected = {folder: found for folder, found in inspected.items() if os.path.lexists(folder)}
    try:
        checked = log.check_log(path, keys)
        findings = [checked.finding(path), *_bound(directory, checked), *_again(path, checked, opened)]
        findings += _misplaced(directory, checked)
    except BrokenError as broken:
        lost = inspected and broken.verdict is Verdict.INCOMPLETE  # there were lines, or nothing could have been sealed
        findings = [Finding(path, Verdict.TRUNCATED, broken.detail) if lost else broken.at(path)]
    findings += _unfinished(directory)
    steps = {f: sealed for f, (_, sealed) in inspected.items() if sealed and f.parent.name == CHECKPOINTS}
    digests = {sealed.body.get("step"): sealed.digest for sealed in steps.values()}
    for folder, (found, sealed) in inspected.items():
        foreign = list(_against(folder, sealed, checked, path, digests)) if sealed and checked else []
        findings += [f for f in found if not (foreign and f.verdict.unchanged)]
        findings += [finding for finding in foreign if finding not in findings]
    if checked is None or checked.version > 1 or (directory / events.NAME).exists():
        closed, run = (checked.closed, checked.opening.get("run")) if checked else (True, None)
        digest = checked.records[-1].get("events") if checked and checked.closed else None
        findings += events.verify_events(directory, keys, run=run, closed=closed, digest=digest)
    return findings


def _misplaced(directory: Path, checked: CheckedLog) -> Iterator[Finding]:
    """A run below runs/<another project>; other folders of that depth may be called as one likes."""
    parts = strict.place_of(directory).parts
    if RUNS not in parts[:-1]:
        return
    place = len(parts) - 2 - parts[-2::-1].index(RUNS)
    named, project = parts[place + 1], checked.opening.get("project")
    is_project = any((root / "projects" / named).is_dir() for root in (Path(*parts[:place]), REPOSITORY))
    if is_project and project not in (None, named):
        detail = f"is a run of project {project}, in the folder of {named}"
        yield Finding(directory / LOG_NAME, Verdict.WRONG_RUN, detail)


def _again(path: Path, checked: CheckedLog, opened: dict[str, Path] | None) -> list[Finding]:
    """A run whose id was seen before: one of the two is a copy under another name."""
    run = checked.opening.get("run", "")
    first = path.parent if opened is None else opened.setdefault(run, path.parent)
    if first == path.parent:
        return []
    return [Finding(path, Verdict.REPLAYED, f"is run {run} again: {os.path.relpath(first, path.parent)}")]


def _bound(directory: Path, checked: CheckedLog) -> Iterator[Finding]:
    """The files whose digests the log's first line holds."""
    for member, name in BOUND.items():
        if member not in checked.opening:
            continue
        try:
            raw = strict.read_regular(directory / name, 2**26)
        except BrokenError as broken:
            begun = broken.verdict is Verdict.MISSING and len(checked.records) == 1  # the log is written first
            yield (
                Finding(directory / name, Verdict.INCOMPLETE, "not written yet")
                if begun
                else broken.at(directory / name)
            )
            continue
        if hashlib.sha256(raw).hexdigest() != checked.opening[member]:
            yield Finding(directory / name, Verdict.TAMPERED, "differs from the one that the log was opened with")


def _sealed_folders(directory: Path) -> list[Path]:
    """A run's checkpoints, whether they have a manifest or not, and every other folder that has one."""
    steps = [p for p in (directory / CHECKPOINTS).glob("*") if p.is_dir() or p.is_symlink()]
    if (directory / CHECKPOINTS).is_symlink():
        steps = []  # `things` says so
    walked = []
    for place, folders, files in os.walk(directory):  # passes over what goes away; rglob would end in an error
        if Path(place) != directory and (LOG_NAME in files or CHECKPOINTS in folders):
            folders.clear()  # a run within a run: verified as one
        elif manifest.NAME in files:
            walked.append(Path(place))
    others = [p for p in walked if CHECKPOINTS not in p.relative_to(directory).parts]
    return [p for p in sorted(steps) + sorted(others) if not is_temporary(p)]


def _unfinished(directory: Path) -> Iterator[Finding]:
    """What a save that is going on, or was killed, has not given its name yet."""
    for path in sorted([*directory.glob(".*"), *(directory / CHECKPOINTS).glob(".*")]):
        if is_temporary(path):
            yield Finding(path, Verdict.INCOMPLETE, "was not written to its end")


def _against(
    folder: Path, sealed: Sealed, checked: CheckedLog, path: Path, digests: dict[Any, str]
) -> Iterator[Finding]:
    """What a sound checkpoint has in common with its run's log, where it has not."""
    body, opening = sealed.body, checked.opening
    for member in ("project", "run"):
        if body.get(member) != opening.get(member):
            detail = f"belongs to {member} {body.get(member)}, and the log here to {opening.get(member)}"
            yield Finding(folder, Verdict.WRONG_RUN, detail)
            return
    if sealed.signer.team != checked.signer.team:
        yield Finding(folder, Verdict.WRONG_TEAM, f"sealed by {sealed.signer.team} in a run of {checked.signer.team}")
    head = body.get("log")
    if head and head["position"] > len(checked.macs):
        detail = f"ends at line {len(checked.macs)}; {folder.name} was saved at line {head['position']}"
        yield Finding(path, Verdict.TRUNCATED, detail)
    elif head and checked.macs[head["position"] - 1] != head["mac"]:
        detail = f"was saved when line {head['position']} of the log read otherwise: of a part that was run again"
        yield Finding(folder, Verdict.REPLAYED, detail)
    parent = body.get("parent")
    if parent and digests.get(parent["step"], parent["manifest"]) != parent["manifest"]:
        detail = f"follows another checkpoint of step {parent['step']} than the one that is here"
        yield Finding(folder, Verdict.REPLAYED, detail)
