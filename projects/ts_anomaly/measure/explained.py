"""Whether what an explanation names is what the score came from: the deletion test on injected spikes and levels."""

from typing import Any

import numpy as np

from projects.ts_anomaly.data.inject import kinds
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.explain.channels import deletion_gain, occlusion
from projects.ts_anomaly.measure.injected import SEED
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.train import load_detector
from projects.ts_anomaly.trials import CONTEXT, trials
from shared.study import Done, bootstrap

STEPS, COUNT = 4, 3


def rows(group: list[Done]) -> list[dict[str, Any]]:
    """One row: what the score of an anomaly's most surprising point loses, over all kinds, series and seeds."""
    named, drawn = [], []
    for done in group:
        assert done.directory is not None
        detector, series = load_detector(done.directory), load_series(done.config.dataset)
        if done.config.seed or len(series.values) < CONTEXT * 3 or not isinstance(detector, PatchTransformer):
            continue
        gains = _gains(detector, done.config.dataset)
        named += [gain for gain, _ in gains]
        drawn += [gain for _, gain in gains]
    low, high = bootstrap(named)
    told = {"count": len(named), "named": round(float(np.mean(named)), 4), "named_low": round(low, 4)}
    return [{**told, "named_high": round(high, 4), "drawn": round(float(np.mean(drawn)), 4)}]


def _gains(detector: PatchTransformer, dataset: str) -> list[tuple[float, float]]:
    found = []
    seen: list[np.ndarray] = []

    def score(values: np.ndarray) -> np.ndarray:
        seen.append(values)
        return detector.score(values)

    told = {"side": "test", "part": "test", "count": COUNT, "seed": SEED}
    for place, trial in enumerate(trials(score, load_series(dataset), kinds("test"), **told)):  # type: ignore[arg-type]
        values = seen[-1]
        peak = int(np.where(trial.labels != 0, trial.scores, -np.inf).argmax()) + len(values) - len(trial.labels)
        before = values[max(0, peak + 1 - CONTEXT) : peak + 1]
        fall = occlusion(detector, before, 0, size=2, shown=32)
        found.append(deletion_gain(detector, before, 0, fall, count=STEPS, seed=place))
    return found
