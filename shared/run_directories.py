"""Where runs are: which directory a new one gets, who may write in it, and what may be removed."""

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import is_temporary, read_json, refuse_unwritable, remove_directory
from shared.fingerprint import BrokenError, team_key
from shared.fingerprint.citations import CHECKPOINTS, LOG_NAME, checkpoints
from shared.fingerprint.log import check_log


def new_directory(root: Path, project: str, name: str) -> Path:
    """The first of runs/<project>/<name>, <name>-2, <name>-3, … that is not there yet."""
    base = root / project / name
    candidates = (base if n == 1 else base.with_name(f"{name}-{n}") for n in range(1, 10_000))
    return next(path for path in candidates if not path.exists())


def latest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint with the highest step, or None."""
    return next(reversed(checkpoints(directory)), None)


def claim(directory: Path | None, *, resume: bool = False, config: Any = None) -> None:
    """Refuse, before any work, a directory in which a run could not be started or continued. Changes nothing.

    Args:
        directory: The run's; None for one that will have a new name.
        resume: Whether a run is to be continued there.
        config: What it will be told; `Run` compares it too, but only when the work before it is done.

    Raises:
        UserError: If it is in use or cannot be written, or (to resume) holds no run or no checkpoint, or one of another
            configuration.
    """
    if resume and directory is None:
        raise UserError("--resume needs --out: the directory of the run to go on with")
    if directory is None:
        return
    if resume:
        read_json(directory / "config.json")
        if latest_checkpoint(directory) is None:
            raise UserError(f"{directory} holds no checkpoint to resume from: remove it and start again")
        if config is not None:
            refuse_other_config(directory, describe_config(config))
    else:
        refuse_used(directory)
    refuse_unwritable(directory)


def refuse_other_config(directory: Path, config: dict[str, Any]) -> None:
    """Refuse to go on with a run of another configuration.

    Raises:
        UserError: With the names of the values that differ.
    """
    different = differing(config, read_json(directory / "config.json"))
    if different:
        raise UserError(f"{directory} was made with another {', '.join(different)}: resume with the same values")


def refuse_used(directory: Path) -> None:
    """Refuse a directory that holds anything.

    Raises:
        UserError: With the way on: to resume, or to choose another.
    """
    if os.path.lexists(directory) and (not directory.is_dir() or any(directory.iterdir())):
        way_on = "pass --resume, or another --out" if latest_checkpoint(directory) else "choose another --out"
        raise UserError(f"{directory} is in use and is not overwritten: {way_on}")


def discard(directory: Path, project: str) -> None:
    """Remove a run of ours that was stopped before there was anything to continue from, or to keep.

    Raises:
        UserError: If it is no run of this project, holds a checkpoint or anything but what a run itself writes, or is
            being written by another process. Nothing is removed then.
    """
    with locked(directory):  # from here on nobody writes what is looked at
        with refused("not removed"):
            checked = check_log(directory / LOG_NAME, team_key())
        if checked.opening.get("project") != project or latest_checkpoint(directory):
            raise UserError(f"{directory} is no run that was stopped before its first checkpoint; not removed")
        written = {LOG_NAME, "config.json", "env.json", "events.seal.json", CHECKPOINTS}
        for path in directory.iterdir():
            if path.name not in written and not path.name.startswith("events.out.tfevents.") and not is_temporary(path):
                raise UserError(f"{path} was not written by the run that is to be removed; remove {directory} by hand")
        remove_directory(directory)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let one process at a time write a run; the lock ends with the process, however that ends.

    Raises:
        UserError: If another has it.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{directory} is being written by another process") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def refused(consequence: str) -> Iterator[None]:
    """Turn what a fingerprint finds wrong inside the block into one line for a person."""
    try:
        yield
    except BrokenError as broken:
        raise UserError(f"{broken.path}: {broken.verdict.value}, {broken.detail}; {consequence}") from None


def describe_config(config: Any) -> dict[str, Any]:
    """A dataclass as JSON values; `out` and `resume` are left out, since they say where and not what."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("out", "resume")}
    return json.loads(json.dumps(values, default=str))


def differing(config: dict[str, Any], saved: dict[str, Any]) -> list[str]:
    """Names of the values in which two described configurations differ."""
    return sorted(name for name in config.keys() | saved.keys() if config.get(name) != saved.get(name))
