"""TensorBoard's event files, chained record by record in a sealed sidecar, since their own checksums need no key.

A record of an event file is framed as: length (8 bytes, little-endian), its checksum (4), the data, its checksum (4).
The chain covers whole frames: a reader drops a record whose checksum is wrong, so a checksum is content too.

    h₀ = 32 zero bytes,  hᵢ = SHA-256(hᵢ₋₁ ‖ frameᵢ)

The sidecar keeps the last h, which decides, and the first four bytes of each, which name the record at fault.

Source: the framing is TensorFlow's TFRecord format.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from shared.fingerprint import envelope, strict
from shared.fingerprint.envelope import Sealed
from shared.fingerprint.hashing import CHUNK
from shared.fingerprint.keys import Keys, TeamKey
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

NAME = "events.seal.json"
KIND = "events"
PATTERN = "events.out.tfevents.*"
HEADER, FOOTER = 12, 4  # bytes around a record's data
LARGEST = 2**30  # bytes of a file
MARKED = 500_000  # records of a file that can be named; the head covers all of them
SHAPE = {"run": strict.optional(str), "files": [{"path": strict.is_file_name, "size": int, "head": str, "marks": str}]}


def seal_events(directory: Path, body: dict[str, Any], key: TeamKey) -> None:
    """Write the sidecar of all event files in a run's directory; nothing, where there is none.

    Args:
        directory: A run whose event files are written to no longer.
        body: Run id, project, ... (JSON values).
        key: The team's.
    """
    files = [describe(path) for path in sorted(directory.glob(PATTERN))]
    if files:
        envelope.write(directory / NAME, KIND, {**body, "files": files}, key)


def describe(path: Path) -> dict[str, Any]:
    """Name, size in bytes, and the chain of one event file."""
    marks: list[str] = []
    head = b""
    with strict.open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        if os.fstat(descriptor).st_size > LARGEST:
            raise BrokenError(Verdict.TAMPERED, f"{path.name} is larger than {LARGEST} bytes", path)
        for head in chain(file):
            if len(marks) < MARKED:
                marks.append(head.hex()[:8])
        size = file.tell()
    return {"path": path.name, "size": size, "head": head.hex(), "marks": "".join(marks)}


def chain(file: BinaryIO) -> Iterator[bytes]:
    """The head after each record; what a killed process left of a last record counts as one.

    Read in pieces: a record may claim any length.
    """
    head = bytes(32)
    while header := file.read(HEADER):
        digest = hashlib.sha256(head + header)
        left = int.from_bytes(header[:8], "little") + FOOTER
        while left and (piece := file.read(min(left, CHUNK))):
            digest.update(piece)
            left -= len(piece)
        head = digest.digest()
        yield head


def verify_events(
    directory: Path, keys: Keys, *, run: str | None = None, closed: bool = True, digest: str | None = None
) -> list[Finding]:
    """Findings for a run's event files: a single one if all is well, or all that is wrong.

    Args:
        keys: Whose seals are accepted.
        run: Id that the sidecar must carry.
        closed: Whether the run has ended; while it goes on, its newest file is not sealed yet.
        digest: SHA-256 of the sidecar as the log's closing line holds it; logs of before do not.
    """
    present = {path.name: path for path in sorted(directory.glob(PATTERN))}
    path = directory / NAME
    if not os.path.lexists(path) and (not present or not closed) and digest is None:
        return []
    try:
        sealed = envelope.read(path, KIND, keys, SHAPE)
        if run is not None and sealed.body.get("run") != run:
            raise BrokenError(Verdict.WRONG_RUN, f"seals the events of run {sealed.body.get('run')}, not of {run}")
        if digest not in (None, sealed.digest):
            raise BrokenError(Verdict.REPLAYED, "is not the one that was there when the log was closed")
        saved = {entry["path"]: entry for entry in sealed.body["files"]}
    except BrokenError as broken:
        return [broken.at(path)]
    missing = sorted(saved.keys() - present.keys())
    findings = [Finding(directory / name, Verdict.MISSING, "sealed, not there") for name in missing]
    late = Verdict.EXTRA if closed else Verdict.INCOMPLETE
    findings += [Finding(present[n], late, "there, not sealed") for n in sorted(present.keys() - saved.keys())]
    for name in sorted(saved.keys() & present.keys()):
        findings += _compare(present[name], saved[name])
    return findings or [_fine(path, sealed)]


def _fine(path: Path, sealed: Sealed) -> Finding:
    files = sealed.body["files"]
    count = sum(len(entry["marks"]) for entry in files) // 8
    return Finding(path, sealed.verdict, f"{count} TensorBoard records in {len(files)} files")


def _compare(path: Path, saved: dict[str, Any]) -> list[Finding]:
    try:
        now = describe(path)
    except BrokenError as broken:
        return [broken.at(path)]
    if now == saved:
        return []
    old, new = saved["marks"], now["marks"]
    if len(new) < len(old) and old.startswith(new):
        return [Finding(path, Verdict.TRUNCATED, f"ends after record {len(new) // 8} of {len(old) // 8}")]
    places = range(0, max(len(old), len(new)), 8)
    record = next((i // 8 + 1 for i in places if old[i : i + 8] != new[i : i + 8]), len(old) // 8)
    return [Finding(path, Verdict.TAMPERED, f"record {record} differs from the sealed one")]
