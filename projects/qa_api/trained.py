"""What training leaves for the service: a reader, how rankings are merged, and what scores are worth, in one folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from projects.qa_api.index.merge import FEATURES, Merge
from projects.qa_api.reader.calibrate import UNCALIBRATED, Calibrator
from projects.qa_api.reader.model import SpanReader
from projects.qa_api.train import RUNS, load_reader
from shared.errors import UserError
from shared.files import read_json, write_json

FITTED = "fitted.json"
"""Beside the run of a reader."""


@dataclass(frozen=True)
class Trained:
    """All that answers."""

    reader: SpanReader
    merge: Merge | None
    calibrator: Calibrator


def save_fitted(directory: Path, merge: Merge | None, calibrator: Calibrator) -> None:
    """Keep what was fitted on validation beside the reader."""
    write_json(
        directory / FITTED, {"merge": merge.weights.tolist() if merge else None, "calibrator": calibrator.as_json()}
    )


def load_trained(directory: Path | None = None) -> Trained:
    """From a run; by default the newest under runs/qa_api that has been fitted.

    Raises:
        UserError: If there is none, or what is there cannot be read.
    """
    found = directory or newest()
    return Trained(load_reader(found), *load_fitted(found))


def load_fitted(directory: Path) -> tuple[Merge | None, Calibrator]:
    """What was fitted beside a reader; nothing and an uncalibrated one before.

    Raises:
        UserError: If it is of another version.
    """
    if not (directory / FITTED).is_file():
        return None, UNCALIBRATED
    told = read_json(directory / FITTED)
    calibrator = Calibrator.from_json(told["calibrator"])
    if told["merge"] is None:
        return None, calibrator
    weights = np.array(told["merge"], dtype=float)
    if weights.shape != (2, len(FEATURES) + 1):
        raise UserError(f"{directory / FITTED}: is of another version; make it again with `make run-qa_api`")
    return Merge(weights), calibrator


def newest() -> Path:
    """The last run that answers questions."""
    found = sorted((RUNS / "qa_api").rglob(FITTED), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            "no trained reader is there: `make run-qa_api` trains one, or set QA_API_READER to its directory"
        )
    return found[-1].parent
