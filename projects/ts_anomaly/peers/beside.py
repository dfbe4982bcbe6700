"""A series scored by ours and, in another environment, by stumpy and pyod."""

import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.baselines.fitted import SubPCA
from projects.ts_anomaly.baselines.matrix_profile import full_profile
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detector import from_windows
from projects.ts_anomaly.evaluate import auc_pr
from shared.errors import UserError

PEERS = ("stumpy==1.14.1", "pyod==3.6.7")
THEIRS = Path(__file__).with_name("theirs.py")

Scores = Float[np.ndarray, " w"]


def beside(python: Path, name: str, length: int) -> list[dict[str, Any]]:
    """Two rows of a series; scores of windows are given to their last points on both sides."""
    series = load_series(name)
    detector = SubPCA(length)
    detector.fit(series.prefix)
    scaled = detector.scaler(series.values)[:, 0]
    prefix = scaled[: series.fit]
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "series.npz", Path(folder) / "scores.npz"
        np.savez(source, prefix=prefix[~np.isnan(prefix)], values=scaled, length=length)
        words = [str(python), str(THEIRS.resolve()), str(source), str(target)]
        told = {"PATH": os.environ["PATH"], "HOME": folder, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        said = subprocess.run(words, check=False, capture_output=True, text=True, env=told)
        if said.returncode:
            raise UserError(f"the peers failed: {said.stderr.strip().splitlines()[-1]}")
        theirs = dict(np.load(target))
    mine, seconds = timed(lambda: full_profile(scaled, length) * length**0.5)
    rows = [_row(series, "stumpy: matrix profile", mine, theirs["stumpy"], seconds, theirs["stumpy_seconds"])]
    mine, seconds = timed(lambda: detector.score_channel(scaled, detector.channels[0])[length - 1 :])
    return [*rows, _row(series, "pyod: PCA on windows", mine, theirs["pyod"], seconds, theirs["pyod_seconds"])]


def timed(score: Callable[[], Scores]) -> tuple[Scores, float]:
    """Scores, and how long they took."""
    begun = time.perf_counter()
    return score(), time.perf_counter() - begun


def _row(
    series: Series, library: str, mine: Scores, theirs: Scores, seconds: float, their_seconds: Any
) -> dict[str, Any]:
    assert series.labels is not None
    labels = series.labels[series.validation :]
    own, other = (from_windows(each, len(series.values))[series.validation :] for each in (mine, theirs))
    known = np.isfinite(mine) & np.isfinite(theirs)
    scale = [np.abs(each[known]) / np.abs(each[known]).max() for each in (mine, theirs)]
    return {
        "library": library,
        "series": series.name,
        "auc_pr": round(auc_pr(labels, own), 4),
        "theirs": round(auc_pr(labels, np.nan_to_num(other)), 4),
        "difference": float(f"{np.abs(scale[0] - scale[1]).max():.3g}") if "stumpy" in library else "",
        "seconds": round(seconds, 5),
        "their_seconds": round(float(their_seconds), 5),
    }


def installed(folder: Path) -> Path:
    """Python of an environment with the peers.

    Raises:
        UserError: If they cannot be installed.
    """
    python = (folder / "bin" / "python").absolute()
    if not (folder / "whole").exists():
        sys.stdout.write(f"Installing {' and '.join(PEERS)} in {folder} (once)\n")
        venv.create(folder, with_pip=True)
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS], check=False).returncode:
            raise UserError("the peers cannot be installed: is the package index reachable?")
        (folder / "whole").touch()
    return python
