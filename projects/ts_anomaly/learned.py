"""What a run learned from, bound to its content: a file that grows is still read as it was then."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.ts_anomaly.data.series import Series, load_series, own_file
from shared.errors import UserError
from shared.files import read_json
from shared.fingerprint.citations import checkpoints
from shared.run_directories import refused
from shared.runs import open_checkpoint


@dataclass(frozen=True)
class Learned:
    """What a run was trained on.

    Attributes:
        dataset: As `--dataset` named it.
        size: Bytes that a file had then; None of an embedded series, and of runs that did not note it.
        digest: SHA-256 of it.
    """

    dataset: str
    size: int | None
    digest: str

    def series(self) -> Series:
        """The very rows: a file that has grown is read as far as it was there then.

        Raises:
            UserError: If it is not there any more, or is not what it was.
        """
        if digest(self.dataset, self.size) != self.digest:
            raise UserError(f"--dataset {self.dataset} is not what it was when this run was trained: train again")
        return load_series(self.dataset, self.size)


def learned(directory: Path) -> Learned:
    """What the run in a directory was trained on."""
    data = str(open_checkpoint(checkpoints(directory)[-1]).body["data"])
    return Learned(str(read_json(directory / "config.json")["dataset"]), extra_of(directory).get("size"), data)


def size_of(dataset: str) -> int | None:
    """Bytes of the file that is named; None if there is none, as of an embedded series."""
    path = own_file(dataset)
    return path.stat().st_size if path is not None and path.is_file() else None


def digest(dataset: str, size: int | None = None) -> str:
    """SHA-256 of what a run learns from: so many bytes of a file (by default all), or an embedded series' values."""
    path = own_file(dataset)
    if path is not None and path.is_file():
        with path.open("rb") as file:
            return hashlib.sha256(file.read(size)).hexdigest()
    series = load_series(dataset)
    return hashlib.sha256(series.values.tobytes() + repr((series.fit, series.validation)).encode()).hexdigest()


def extra_of(directory: Path) -> dict[str, Any]:
    """What the last checkpoint of a run keeps beside weights, verified; empty without one."""
    saved = checkpoints(directory)
    if not saved:
        return {}
    with refused("not loaded"):
        return dict(json.loads(open_checkpoint(saved[-1]).read("state.json"))["extra"])
