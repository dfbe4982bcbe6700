"""Why one point is anomalous: `python -m projects.ts_anomaly.explain --model RUN --dataset mitdb --step 5200`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from projects.ts_anomaly.data.series import Series, load_series
from projects.ts_anomaly.detect import patch_detector
from projects.ts_anomaly.explain.channels import SHOWN, Because, because, deletion_gain, nearest_normal, occlusion
from projects.ts_anomaly.models.detectors import PatchTransformer
from shared import progress
from shared.errors import UserError, command


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """Explain the score of one point of a series."""

    model: Path
    """Directory of a run of `train` (arm contrast)."""
    dataset: str = ""
    """An embedded series or a CSV file; by default what the run was trained on."""
    step: int | None = None
    """Index of the point; by default that of the largest score behind the part for validation."""
    count: int = 4
    """Steps that are named."""


def main(config: ExplainConfig) -> Because:
    """Channel and evidence, the steps that count, what is left without them, and the nearest normal stretch."""
    detector, trained_on = patch_detector(config.model)
    series = load_series(config.dataset) if config.dataset else trained_on.series()
    if not 1 <= config.count <= SHOWN:
        raise UserError(f"--count {config.count}: must be from 1 to {SHOWN}")
    step = _step(config, detector, series)
    values = series.values[max(0, step - detector.context - SHOWN) : step + 1]
    told = because(detector, values)
    progress.table(
        f"Step {step}: a surprise of {detector.score(values)[-1]:.1f}, by channel {told.channel}",
        ["evidence", "surprise"],
        [[name, f"{value:.1f}"] for name, value in told.by_evidence.items()],
    )
    fall = occlusion(detector, values, told.channel)
    named, drawn = deletion_gain(detector, values, told.channel, fall, count=config.count, seed=0)
    steps = step - SHOWN + 1 + np.sort(np.argsort(-fall, kind="stable")[: config.count])
    print(f"Without steps {', '.join(map(str, steps))} it falls by {named:.1f},")
    print(f"without {config.count} drawn ones of the last {SHOWN} by {drawn:.1f}.")
    place, correlation = nearest_normal(series.known, values, told.channel)
    print(f"The normal stretch most like the last {SHOWN} steps begins at {place} (correlation {correlation:.2f}).")
    return told


def _step(config: ExplainConfig, detector: PatchTransformer, series: Series) -> int:
    wanted, n = len(detector.scaler.centre), len(series.values)
    if series.values.shape[1] != wanted:
        raise UserError(f"the series has {series.values.shape[1]} channels, the detector was trained on {wanted}")
    if config.step is None:
        return series.judged + int(np.nan_to_num(detector.score(series.values)[series.judged :]).argmax())
    if not SHOWN < config.step < n:
        raise UserError(f"--step {config.step}: must be from {SHOWN + 1} to {n - 1}")
    return config.step


if __name__ == "__main__":
    command(main, ExplainConfig)
