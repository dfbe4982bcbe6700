"""Several channels: each judged alone by the same weights, or all mixed in one token; injected, and as labelled."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from projects.ts_anomaly.config import Arm, Config
from projects.ts_anomaly.measure import real
from projects.ts_anomaly.measure.injected import (
    COUNT,
    SEEN,
    UNSEEN,
    by_cell,
    mean_interval,
    measure_baseline,
    measure_trained,
)
from shared.study import Done

ARMS: tuple[Arm, ...] = ("contrast", "mixed")
DETECTORS = ("random", "linear", "sub-pca")
SERIES, LABELLED = "daphnet", "multiDS"

Found = dict[str, tuple[list[Done], list[Done]]]
"""Detector → its trials on SERIES, and its measures on LABELLED."""


def measure(
    trained: Callable[[Config], list[Done]], base: Config, short: Config, runs: Path, count: int = COUNT
) -> Found:
    """Both arms with every seed, and baselines that take each channel alone; `short` trains on LABELLED."""
    found: Found = {}
    for name in DETECTORS:
        told = measure_baseline(name, SERIES, runs, count)
        found[name] = ([told], [real.measure_baseline(name, LABELLED, runs)])
    for arm in ARMS:
        own = [measure_trained(done, runs, count=count) for done in trained(replace(base, arm=arm, dataset=SERIES))]
        few = trained(replace(short, arm=arm, dataset=LABELLED))
        found[arm] = (own, [real.measure_trained(done, runs) for done in few])
    return found


def rows(found: Found) -> list[dict[str, Any]]:
    """A row a detector."""
    told = []
    for name, (injected, labelled) in found.items():
        cells = by_cell(injected)
        row: dict[str, Any] = {"detector": name, "seeds": len(injected)}
        for label, names in (("seen", SEEN), ("unseen", UNSEEN)):
            values = dict(zip(("", "_low", "_high", "_sd"), mean_interval(cells, names), strict=True))
            row |= {f"{label}{end}": value for end, value in values.items()}
        for measure_name in ("auc_pr", "vus_pr"):
            row[measure_name] = round(float(np.mean([done.last(measure_name) for done in labelled])), 4)
        told.append(row)
    return told
