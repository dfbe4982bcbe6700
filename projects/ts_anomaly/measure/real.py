"""Labelled real series: few events each, so that what is counted is events, and a line of code stands beside the
models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.baselines.fitted import Smoothing
from projects.ts_anomaly.baselines.simple import ONE_LINERS
from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detector import Detector
from projects.ts_anomaly.evaluate import auc_pr, auc_roc, best_f1, point_adjusted_f1, ranges, vus_pr
from projects.ts_anomaly.learned import digest
from projects.ts_anomaly.measure.injected import BASELINES, best_baseline
from projects.ts_anomaly.train import load_detector
from shared.study import Done, Item, log_items

SERIES = ("yahoo", "uniDS", "multiDS", "mitdb", "ucr135")
ONE_LINER, ETS = "one-liner", "ets"
OTHERS = (*BASELINES, ETS, ONE_LINER)
MEASURES = ("auc_pr", "vus_pr", "auc_roc", "f1", "adjusted_f1")

Scores = Float[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a measurement depends on, beside the checkpoint or the series that is its data."""

    what: str
    detector: str
    dataset: str
    seed: int = 0


def judged(series: Series, scores: Scores) -> dict[str, float]:
    """All measures of the part to be judged."""
    assert series.labels is not None
    labels = series.labels[series.validation :]
    own = scores[series.validation - len(series.values) :]
    own = np.where(np.isnan(own), np.nanmin(scores) if np.isfinite(scores).any() else 0.0, own)
    return {
        "auc_pr": auc_pr(labels, own),
        "vus_pr": vus_pr(labels, own, series.buffer),
        "auc_roc": auc_roc(labels, own),
        "f1": best_f1(labels, own),
        "adjusted_f1": point_adjusted_f1(labels, own),
        "events": float(len(ranges(labels))),
    }


def score_of(name: str, series: Series) -> dict[str, float]:
    """Measures of a baseline; the best one-liner is chosen by these very labels, which nobody has: an upper bound."""
    if name == ONE_LINER:
        each = [judged(series, line.fit(series.prefix).score(series.values)) for line in ONE_LINERS]
        return {measure: max(found[measure] for found in each) for measure in each[0]}
    if name == ETS:  # it goes on from the end of the prefix
        detector: Detector = Smoothing(series.period).fit(series.prefix)
        return judged(series, detector.score(series.values[series.fit :]))
    return judged(series, best_baseline(name, series).score(series.values))


def measure(asked: Asked, take: Callable[[], dict[str, float]], runs: Path, data: str) -> Done:
    """One line: the measures of a detector on a series."""

    def items() -> Iterator[Item]:
        yield take(), {}

    place = runs / "measured" / f"real-{asked.detector.replace(' ', '_')}-{asked.dataset}-seed{asked.seed}"
    return log_items(place, asked, items, project="ts_anomaly", data=data)


def measure_baseline(name: str, dataset: str, runs: Path) -> Done:
    """A baseline's measures on a labelled series."""
    asked = Asked(what="real", detector=name, dataset=dataset)
    return measure(asked, lambda: score_of(name, load_series(dataset)), runs, digest(dataset))


def measure_trained(done: Done, runs: Path) -> Done:
    """A trained detector's measures on its labelled series."""
    config, folder = done.config, done.directory
    assert folder is not None
    asked = Asked(what="real", detector=config.arm, dataset=config.dataset, seed=config.seed)
    series = load_series(config.dataset)
    return measure(asked, lambda: judged(series, load_detector(folder).score(series.values)), runs, done.source.run)


def rows(found: dict[str, list[Done]]) -> list[dict[str, Any]]:
    """A row a detector: AUC-PR and VUS-PR of each series, the mean over seeds."""
    told = []
    for name, group in found.items():
        row: dict[str, Any] = {"detector": name}
        for dataset in SERIES:
            own = [done for done in group if done.config.dataset == dataset]
            for measure in ("auc_pr", "vus_pr"):
                row[f"{dataset}_{measure}"] = (
                    round(float(np.mean([done.last(measure) for done in own])), 4) if own else ""
                )
        told.append(row)
    return told


def trick_rows(found: dict[str, list[Done]]) -> list[dict[str, Any]]:
    """What a random score gets, by measure."""
    names = ("events", *MEASURES)
    return [
        {"series": done.config.dataset, **{name: round(done.values(name)[0], 4) for name in names}}
        for done in found["random"]
    ]
