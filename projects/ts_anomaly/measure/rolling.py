"""Rolling origins: the same detectors made from ever more of a series and judged by what comes behind a gap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.data.inject import kinds
from projects.ts_anomaly.data.origins import ORIGINS
from projects.ts_anomaly.measure.injected import by_cell, mean_interval, measure_baseline, measure_trained, seed_means
from shared.study import Done

SERIES = ("sp500", "mitdb")
DETECTORS = ("random", "linear", "sub-pca")  # beside the patch Transformer
COUNT = 10  # injections of a kind at an origin

Found = dict[tuple[str, str], list[Done]]
"""(detector, series) → its trials at all origins, of all seeds."""


def measure(trained: Callable[[Config], list[Done]], base: Config, runs: Path, count: int = COUNT) -> Found:
    """Train at each origin, and judge behind its gap."""
    found: Found = {}
    for series in SERIES:
        for dataset in (f"{series}@{number}" for number in range(ORIGINS)):
            for name in DETECTORS:
                found.setdefault((name, series), []).append(measure_baseline(name, dataset, runs, count))
            for done in trained(Config(**{**vars(base), "dataset": dataset})):
                found.setdefault((base.arm, series), []).append(measure_trained(done, runs, count=count))
    return found


def rows(found: Found) -> list[dict[str, Any]]:
    """A row a detector and series: mean AUC-PR of all kinds at each origin, and over all of them with its interval."""
    told = []
    for (name, series), group in found.items():
        cells, every = by_cell(group), kinds("test")
        each = []
        for number in range(ORIGINS):
            own = {key: trials for key, trials in cells.items() if key[0] == f"{series}@{number}"}
            each.append(float(np.mean(seed_means(own, every))))
        mean, low, high, _ = mean_interval(cells, every)
        row: dict[str, Any] = {"detector": name, "series": series, "seeds": len({done.config.seed for done in group})}
        row |= {f"origin{number}": round(value, 4) for number, value in enumerate(each)}
        told.append({**row, "mean": mean, "low": low, "high": high, "sd": round(float(np.std(each, ddof=1)), 4)})
    return told
