"""Atomic writes: a reader, or a run that was killed, sees the old file or the new one and never half of one.

What is not whole yet has a name like `.config.json.x7k2.tmp` beside its place; what a killed process leaves keeps it.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import UserError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it takes the place of `path` when the block ends well.

    Raises:
        UserError: If the folder cannot be made or written.
    """
    temporary = _temporary_beside(path)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `path` when the block ends well.

    Raises:
        UserError: If `path` exists already or its parent cannot be written.
    """
    if os.path.lexists(path):  # a link to nothing, too
        raise UserError(f"{path} exists and is not overwritten; choose another name or remove it")
    temporary = _temporary_beside(path)
    temporary.unlink()
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        temporary.rename(path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, as `json_text` spells it."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """JSON with sorted keys, one a line; NaN and infinity are refused, since they are not JSON."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        UserError: If it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error})") from None


def refuse_unwritable(*paths: Path) -> None:
    """Refuse, before any work, places where nothing could be written.

    Raises:
        UserError: If what there is nearest above a path (or the path itself) is no folder, or takes no file.
    """
    for path in paths:
        folder = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not folder.is_dir():
            raise UserError(f"cannot write {path}: {folder} is no folder")
        try:  # by doing it: to the superuser every mode says yes, and /proc takes nothing all the same
            tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=folder).cleanup()
        except OSError as error:
            raise UserError(f"cannot write {path}: {folder} is not writable ({error.strerror})") from None


def is_temporary(path: Path) -> bool:
    """Whether this is the name of something that an atomic write has not finished."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def remove_directory(path: Path) -> None:
    """Remove a folder that we made; it first gives up its name, so that nobody sees a part of it under it.

    Raises:
        UserError: If it is a link: what that leads to is somewhere else for a person's own reasons.
    """
    if path.is_symlink():
        raise UserError(f"{path} is a link and is not removed: remove by hand what it leads to")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    path.rename(aside)
    shutil.rmtree(aside)


def remove_temporaries(folder: Path) -> None:
    """Remove what atomic writes into this folder left when their process was killed; nobody may be writing now."""
    for path in filter(is_temporary, folder.glob(".*")):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _temporary_beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would travel to the final file
    return temporary


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Ask the disk to have it before the rename that makes it visible."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
