"""The manifest of a checkpoint folder: every file's size and digest and every tensor's, under the team's MAC.

    seal_directory(folder, {"run": …, "project": …, "step": …}, key)      after the files are written
    open_verified(folder, key).read("model.safetensors")                  the very bytes that were verified

Source: the idea of a manifest in a DSSE envelope is that of the OpenSSF model-signing project; the body is our own.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.fingerprint import envelope, hashing, strict, tensors
from shared.fingerprint.envelope import Sealed
from shared.fingerprint.keys import Keys, TeamKey
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

NAME = "manifest.json"
KIND = "checkpoint"
TENSOR = {"name": str, "dtype": str, "shape": [int], "sha256": str}
SHAPE = {
    "files": [{"path": str, "size": int, "sha256": str}],
    "folders": strict.optional([str]),
    "tensors": strict.optional(strict.values_of([TENSOR])),
    "step": strict.optional(int),
    "log": strict.optional({"position": int, "mac": str}),
    "parent": strict.optional({"step": int, "manifest": str}),
}


def seal_directory(directory: Path, body: dict[str, Any], key: TeamKey) -> str:
    """Write the manifest of all files in `directory`, subfolders and empty ones included. Returns its SHA-256.

    Args:
        directory: Holds regular files only.
        body: What the files are: run id, project, step, ... JSON values; team, epoch, files and tensors are added.
        key: The team's.

    Raises:
        UserError: If the folder holds a link, no file, names that another system cannot keep apart, a file that is
            called safetensors and is none, or a manifest.json that is not one of ours.
    """
    _refuse_foreign(directory / NAME)
    try:
        found = {name: entry.is_dir(follow_symlinks=False) for name, entry in strict.entries(directory)}
        names = sorted(name for name, is_folder in found.items() if not is_folder and name != NAME)
        folders = sorted(name for name, is_folder in found.items() if is_folder and name not in _above(found))
        strict.refuse_names(names)
        strict.refuse_names([*names, *folders])
        described = hashing.in_threads(lambda name: _describe(directory, name), names)
        held = hashing.in_threads(
            lambda name: _tensors(directory, name), [n for n in names if n.endswith(tensors.SUFFIX)]
        )
    except BrokenError as broken:
        raise UserError(f"{directory} cannot be sealed: {broken.detail}") from None
    listed = {"files": described, "tensors": dict(held)} | ({"folders": folders} if folders else {})
    return envelope.write(directory / NAME, KIND, {**body, **listed}, key)


def _above(names: Iterable[str]) -> set[str]:
    """Every folder that something is in."""
    return {parent.as_posix() for name in names for parent in Path(name).parents}


def _refuse_foreign(path: Path) -> None:
    """Browser extensions and web pages have a manifest.json too: it is its owner's."""
    try:
        raw = strict.read_regular(path, envelope.LARGEST)
    except BrokenError as broken:
        if broken.verdict is Verdict.MISSING:
            return
        raw = b""
    if b'"payloadType":"application/vnd.cc0c2.' not in raw:
        raise UserError(f"{path} is there and no manifest of ours: it is not overwritten; move it first")


def _describe(directory: Path, name: str) -> dict[str, Any]:
    with strict.open_regular(directory / name) as descriptor:
        digest, size = hashing.sha256_range(descriptor)
    return {"path": name, "size": size, "sha256": digest}


def _tensors(directory: Path, name: str) -> tuple[str, list[dict[str, Any]]]:
    with strict.open_regular(directory / name) as descriptor:
        try:
            return name, [tensors.digest(descriptor, extent) for extent in tensors.extents(descriptor)]
        except BrokenError as broken:
            raise BrokenError(broken.verdict, f"{name}: {broken.detail}", directory / name) from None


@dataclass(frozen=True)
class Opened:
    """A verified folder whose files are read through here, so that what was verified is what is loaded."""

    directory: Path
    sealed: Sealed

    @property
    def body(self) -> dict[str, Any]:
        """The manifest's."""
        return self.sealed.body

    @property
    def names(self) -> list[str]:
        """Paths of the files, relative to the folder."""
        return [entry["path"] for entry in self.body["files"]]

    def read(self, name: str) -> bytes:
        """A file's content; these very bytes are compared with the manifest before they are returned.

        A file that was exchanged or overwritten in place since the folder was verified is found here.

        Raises:
            BrokenError: TAMPERED or MISSING.
        """
        path = self.directory / name
        entry = next((entry for entry in self.body["files"] if entry["path"] == name), None)
        if entry is None:
            raise BrokenError(Verdict.MISSING, f"the manifest lists no {name}", path)
        raw = strict.read_regular(path, entry["size"])
        if hashlib.sha256(raw).hexdigest() != entry["sha256"]:
            raise BrokenError(Verdict.TAMPERED, "changed between verification and load", path)
        return raw


def open_verified(directory: Path, keys: Keys, *, run: str | None = None) -> Opened:
    """Verify a folder, and hand out its files so that no other bytes can be loaded.

    Args:
        directory: A sealed folder.
        keys: Whose seals are accepted; the demo key's always are.
        run: The run that it must belong to, if that is known.

    Raises:
        BrokenError: The gravest of what is wrong.
    """
    findings, sealed = inspect(directory, keys)
    worst = max(findings, key=lambda finding: finding.verdict.gravity)
    if sealed is None or not worst.verdict.unchanged:
        raise BrokenError(worst.verdict, worst.detail, worst.path)
    if run is not None and sealed.body.get("run") != run:
        raise BrokenError(Verdict.WRONG_RUN, f"belongs to run {sealed.body.get('run')}, not to {run}", directory / NAME)
    return Opened(directory, sealed)


def verify_directory(directory: Path, keys: Keys) -> list[Finding]:
    """Findings for one checkpoint: a single OK (or UNTRUSTED-DEMO), or all that is wrong with it."""
    return inspect(directory, keys)[0]


def inspect(directory: Path, keys: Keys) -> tuple[list[Finding], Sealed | None]:
    """As `verify_directory`, with the manifest, or None where it does not hold."""
    try:
        sealed = envelope.read(directory / NAME, KIND, keys, SHAPE)
        files = _listed(sealed.body)
        extra = list(_unlisted(directory, files.keys(), sealed.body.get("folders") or []))
    except BrokenError as broken:
        return [broken.at(directory / NAME)], None
    held = sealed.body.get("tensors") or {}
    present = [name for name in sorted(files) if os.path.lexists(directory / name)]
    folders = [name for name in sealed.body.get("folders") or [] if not (directory / name).is_dir()]
    missing = sorted([*(files.keys() - set(present)), *folders])
    findings = [Finding(directory / name, Verdict.MISSING, "listed, not there") for name in missing] + extra
    compared = hashing.in_threads(lambda name: _compare(directory / name, files[name], held.get(name, [])), present)
    findings += [finding for finding in compared if finding is not None]
    findings += _misplaced(directory, sealed.body)
    count = f"{len(files)} files, step {sealed.body.get('step', '?')}, team {sealed.body.get('team', '?')}"
    return findings or [Finding(directory, sealed.verdict, count)], sealed


def _listed(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    files = {entry["path"]: entry for entry in body["files"]}
    strict.refuse_names([entry["path"] for entry in body["files"]])
    strict.refuse_names([*files, *(body.get("folders") or [])])
    return files


def _unlisted(directory: Path, listed: Iterable[str], empty: Iterable[str]) -> Iterator[Finding]:
    """What is there and not in the manifest: files, links, and folders that hold nothing listed."""
    known = {NAME, *listed}
    folders = {*empty, *_above(known), *_above(empty)}
    twins = {strict.fold(name): name for name in known}
    for name, entry in strict.entries(directory):
        if name in known or (name in folders and entry.is_dir(follow_symlinks=False)):
            continue
        twin = twins.get(strict.fold(name))
        reason = f"; it differs from {twin} by case or Unicode form only" if twin else ""
        link = " (a symbolic link)" if entry.is_symlink() else ""
        yield Finding(Path(entry.path), Verdict.EXTRA, f"there, not listed{link}{reason}")


def _compare(path: Path, saved: dict[str, Any], held: list[dict[str, Any]]) -> Finding | None:
    try:
        with strict.open_regular(path) as descriptor:
            digest, size = hashing.sha256_range(descriptor)
            if (size, digest) == (saved["size"], saved["sha256"]):
                return None
            what = "size" if size != saved["size"] else "content"
            detail = f"{what} differs from the manifest"
            if held:
                detail += f": {tensors.difference(held, descriptor)}"
    except BrokenError as broken:
        return broken.at(path)
    return Finding(path, Verdict.TAMPERED, detail)


def _misplaced(directory: Path, body: dict[str, Any]) -> list[Finding]:
    """A checkpoint under another step's name: an old one put in the place of a new one."""
    prefix, _, number = directory.name.partition("-")
    if prefix != "step" or not number.isdecimal() or int(number) == body.get("step"):
        return []
    return [Finding(directory, Verdict.REPLAYED, f"was saved as step {body.get('step')}")]
