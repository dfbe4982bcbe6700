"""The manifest of a checkpoint folder: every file's size and digest, under the team's MAC."""

import hashlib
from pathlib import Path
from typing import Any

from shared.fingerprint import envelope
from shared.fingerprint.keys import TeamKey
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

NAME = "manifest.json"
PAYLOAD_TYPE = "application/vnd.cc0c2.checkpoint.v1+json"
PURPOSE = "checkpoint"


def seal_directory(directory: Path, body: dict[str, Any], key: TeamKey) -> None:
    """Write the manifest of all files in `directory`, subfolders included.

    Args:
        directory: Holds regular files only.
        body: What the files are: run id, project, step, ... JSON values; "team" and "files" are added.
        key: The team's.
    """
    files = [describe(directory, path) for path in _files(directory)]
    envelope.write(directory / NAME, PAYLOAD_TYPE, {**body, "team": key.team, "files": files}, key, PURPOSE)


def describe(directory: Path, path: Path) -> dict[str, Any]:
    """Relative path, size in bytes and SHA-256 of one file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.relative_to(directory).as_posix(), "size": path.stat().st_size, "sha256": digest}


def read_body(directory: Path, key: TeamKey) -> dict[str, Any]:
    """The manifest's body, once its MAC holds (the files are not looked at).

    Raises:
        BrokenError: As `envelope.read`.
    """
    return envelope.read(directory / NAME, PAYLOAD_TYPE, key, PURPOSE)[0]


def verify_directory(directory: Path, key: TeamKey) -> list[Finding]:
    """Findings for one checkpoint: a single OK (or UNTRUSTED-DEMO), or all that is wrong with it."""
    try:
        body, verdict = envelope.read(directory / NAME, PAYLOAD_TYPE, key, PURPOSE)
    except BrokenError as broken:
        return [Finding(directory / NAME, broken.verdict, broken.detail)]
    listed = {entry["path"]: entry for entry in body["files"]}
    present = {path.relative_to(directory).as_posix(): path for path in _files(directory)}
    findings = [
        Finding(directory / name, Verdict.MISSING, "listed, not there")
        for name in sorted(listed.keys() - present.keys())
    ]
    findings += [Finding(present[name], Verdict.EXTRA, "there, not listed") for name in sorted(present.keys() - listed)]
    for name in sorted(listed.keys() & present.keys()):
        found = describe(directory, present[name])
        if found != listed[name]:
            what = "size" if found["size"] != listed[name]["size"] else "content"
            findings.append(Finding(present[name], Verdict.TAMPERED, f"{what} differs from the manifest"))
    count = f"{len(listed)} files, step {body.get('step', '?')}, team {body['team']}"
    return findings or [Finding(directory, verdict, count)]


def _files(directory: Path) -> list[Path]:
    """Everything below the folder but folders and its manifest; a link counts as a file and will not match."""
    return sorted(p for p in directory.rglob("*") if (p.is_symlink() or not p.is_dir()) and p != directory / NAME)
