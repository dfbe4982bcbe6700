"""Cells: the runs behind a table, each trained once and recognised by its configuration and the digest of its data.

directory = complete(runs / "full-seed0", cell, train, data=digest_of(cell), project="lora", last="result.json")
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import read_json
from shared.fingerprint.citations import LOG_NAME
from shared.runs import describe_config, differing, discard, latest_checkpoint

MOST_BESIDE = 100


def complete(
    directory: Path,
    config: Any,
    train: Callable[[Path, bool], object],
    *,
    project: str,
    data: str | None,
    last: str = "result.json",
) -> Path:
    """Train a cell unless this very one is done: the same configuration, on the same data. Returns its directory.

    A run of another configuration or other data stays where it is; the cell's own is then beside it, as <name>-2, ….

    Args:
        directory: Of the cell.
        config: Its configuration, a dataclass.
        train: Takes the directory, and whether to resume the run in it from a checkpoint.
        project: Whose runs these are.
        data: Digest of the data that are asked for, as the run was given it.
        last: Path in the directory of what a run writes when it has ended.
    """
    for number in range(1, MOST_BESIDE):
        place = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        if place.exists() and (others := _another(place, config, data)):
            _say(f"{place} was made with another {others}: not used for this cell")
            continue
        if (place / last).exists():
            return place
        resume = latest_checkpoint(place) is not None
        if place.exists() and any(place.iterdir()) and not resume:
            discard(place, project)  # stopped before there was anything to continue from
        _say(f"{'resuming' if resume else 'training'} {place.name}")
        train(place, resume)
        return place
    raise UserError(f"{directory} and {MOST_BESIDE - 2} directories beside it are in use; choose another --runs")


def _another(directory: Path, config: Any, data: str | None) -> str:
    """What a run that is there was made with and this cell is not; "" if it is this cell's."""
    if not (directory / LOG_NAME).exists():
        return "purpose" if any(directory.iterdir()) else ""
    with (directory / LOG_NAME).open(encoding="utf-8") as file:
        try:
            opening = json.loads(file.readline())
        except ValueError:
            return ""  # cut in its first line, and discarded: or refused, if it is not ours
    if not (directory / "config.json").exists():
        return ""
    names = differing(describe_config(config), read_json(directory / "config.json"))
    return ", ".join([*names, *(["data"] if opening.get("data") != data else [])])


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()
