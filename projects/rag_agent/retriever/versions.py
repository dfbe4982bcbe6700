"""A folder that changes as a whole: a save is a new version beside the old one, and one small file says which counts.

    <root>/CURRENT.json                     {"version": "000002", "manifest": sha256 of contents.json}
    <root>/versions/000002/contents.json    what it is, and size and SHA-256 of every other file in it
    <root>/versions/000002/...

A version appears under its name when it is complete and on disk, CURRENT.json is replaced after that, and only then
is what is older removed. Whoever is killed in between leaves the old version or the new one, and rubbish that the next
save removes.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from shared.errors import UserError
from shared.files import atomic_directory, write_json

POINTER, MANIFEST, VERSIONS = "CURRENT.json", "contents.json", "versions"
FORMAT = 1
_HALF = re.compile(r"\.\d{6}\.\w+\.tmp")  # as shared/files.py names a folder that is being written
ATTEMPTS = 10  # to read a version before the next save removes it
Read = TypeVar("Read")


@contextmanager
def publish(root: Path, about: dict[str, Any]) -> Iterator[Path]:
    """Yield an empty folder; what the block wrote into it becomes the current version when the block ends well.

    Args:
        root: Made if it is not there. Two processes that save at once do so one after the other.
        about: JSON values for the manifest.

    Raises:
        UserError: If the folder cannot be written.
    """
    versions = root / VERSIONS
    try:
        versions.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            _sweep(root)
            taken = [int(path.name) for path in versions.iterdir() if path.name.isdecimal()]
            name = f"{max(taken, default=0) + 1:06d}"
            with atomic_directory(versions / name) as folder:
                yield folder
                write_json(folder / MANIFEST, {"format": FORMAT, "about": about, "files": _describe(folder)})
                digest = file_digest(folder / MANIFEST)
            write_json(root / POINTER, {"version": name, "manifest": digest})
            _sweep(root)
    except OSError as error:
        raise UserError(f"cannot write {root}: {error.strerror or error}") from None


def current(root: Path, read: Callable[[Path, dict[str, Any]], Read]) -> Read:
    """Read the current version: returns what `read` makes of its folder and of what its manifest says.

    Every file is compared with the manifest before. Whoever saves meanwhile removes what is being read: then the new
    version is read instead.

    Raises:
        UserError: If there is no version, or anything differs from what was saved.
    """
    for _ in range(ATTEMPTS):
        pointer = _read(root / POINTER)
        folder = root / VERSIONS / _name(pointer, root)
        try:
            return read(folder, _verified(folder, str(pointer.get("manifest"))))
        except (UserError, OSError) as error:
            if _read(root / POINTER) == pointer:
                raise (
                    error if isinstance(error, UserError) else UserError(f"{folder} cannot be read: {error}")
                ) from None
    raise UserError(f"{root} changes faster than it can be read")


def current_name(root: Path) -> str:
    """Name of the current version's folder.

    Raises:
        UserError: If there is none.
    """
    return _name(_read(root / POINTER), root)


def exists(root: Path) -> bool:
    """Whether something was ever saved there."""
    return (root / POINTER).exists()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(folder: Path, digest: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file() or file_digest(path) != digest:
        raise UserError(f"{path} is not what was saved: build the index again")
    manifest = _read(path)
    if manifest.get("format") != FORMAT:
        raise UserError(f"{folder} has format {manifest.get('format')}, this program reads {FORMAT}: build it again")
    for name, said in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            raise UserError(f"{file} is missing: build the index again")
        if file.stat().st_size != said["bytes"] or file_digest(file) != said["sha256"]:
            raise UserError(f"{file} changed since it was saved: build the index again")
    return manifest["about"]


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there: no index was saved in this folder") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}): build the index again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object: build the index again")
    return value


def _name(pointer: dict[str, Any], root: Path) -> str:
    name = pointer.get("version")
    if not (isinstance(name, str) and name.isdecimal()):  # a name such as "../x" would leave the folder
        raise UserError(f"{root / POINTER} names no version: build the index again")
    return name


def _describe(folder: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in files}


def _sweep(root: Path) -> None:
    """Remove older versions and what killed writers left: temporary files, half versions; nothing that is not ours."""
    kept = current_name(root) if exists(root) else None
    for path in (root / VERSIONS).iterdir():
        whole = path.name.isdecimal() and (path / MANIFEST).is_file()
        if path.name != kept and (whole or _HALF.fullmatch(path.name)):
            shutil.rmtree(path, ignore_errors=True)
    for path in root.glob(f".{POINTER}.*.tmp"):
        path.unlink()
