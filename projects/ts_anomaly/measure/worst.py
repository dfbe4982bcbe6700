"""The worst errors of the patch Transformer: where it alarmed most without a reason, and what it overlooked most."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.ts_anomaly.data.inject import kinds
from projects.ts_anomaly.data.series import load_series
from projects.ts_anomaly.evaluate import ranges
from projects.ts_anomaly.measure.injected import COUNT, SEED
from projects.ts_anomaly.measure.levels import GAP
from projects.ts_anomaly.models.detectors import HEADS, PatchTransformer, combined
from projects.ts_anomaly.scoring.events import merged
from projects.ts_anomaly.train import load_detector
from projects.ts_anomaly.trials import Trial, trials
from shared.study import Done

MOST = 10
AROUND = 64  # points before, whose deviation says how restless the series is there


@dataclass(frozen=True)
class Worst:
    """An error.

    Attributes:
        error: "false alarm" or "miss".
        series: Its name.
        kind: What anomaly the trial has.
        step: In the series, of the highest score of the alarm, or of the first point of what was missed.
        score: The highest; `threshold` is what it is compared with.
        evidence: The kind that was largest there.
        behind: Points since the end of the trial's anomaly; −1 before or in it.
        restless: Deviation of the points before, in units of that of the whole training prefix.
        times: In how many trials the same step was false.
    """

    error: str
    series: str
    kind: str
    step: int
    score: float
    threshold: float
    evidence: str
    behind: int
    restless: float
    times: int = 1

    @property
    def size(self) -> float:
        """How wrong: times above the threshold, or below it."""
        ratio = max(self.score, 1e-9) / self.threshold
        return ratio if self.error == "false alarm" else 1 / ratio


def rows(group: list[Done], levels: list[Done], count: int = COUNT, most: int = MOST) -> list[dict[str, Any]]:
    """The largest false alarms, one a step of a series, then the largest misses, of the first seed."""
    limits = {(each.config.dataset, each.config.seed): each.last("level") for each in levels}
    found: dict[tuple[str, str, int, str], Worst] = {}
    for done in (done for done in group if done.config.seed == 0):
        for each in errors(done, limits[done.config.dataset, 0], count):
            key = (each.error, each.series, each.step, each.kind if each.error == "miss" else "")
            before = found.get(key)
            best = each if before is None or each.size > before.size else before
            found[key] = Worst(**{**asdict(best), "times": 1 + (before.times if before else 0)})
    ordered = sorted(found.values(), key=lambda each: (each.error, -each.size))
    kept = [e for name in ("false alarm", "miss") for e in [each for each in ordered if each.error == name][:most]]
    return [{**asdict(e), "score": round(e.score, 2), "threshold": round(e.threshold, 2)} for e in kept]


def errors(done: Done, limit: float, count: int) -> list[Worst]:
    """Every false alarm and every miss of the trials of a series."""
    assert done.directory is not None
    detector, series = load_detector(done.directory), load_series(done.config.dataset)
    assert isinstance(detector, PatchTransformer)
    spread, found = float(np.nanstd(series.prefix)), []
    kept: list[tuple[Float[np.ndarray, "r h n"], Float[np.ndarray, "n c"]]] = []

    def score(values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        surprise = detector.judge(detector.evidence(values))
        kept[:] = [(surprise, values)]
        return combined(surprise)

    told = {"side": "test", "part": "test", "count": count, "seed": SEED, "needs": detector.context}
    for trial in trials(score, series, kinds("test"), **told):  # type: ignore[arg-type]
        (surprise, values), n = kept[0], len(trial.labels)
        for error, first, best in _wrong(trial, limit):
            at = len(values) - n + best
            before = values[max(0, at - AROUND) : at]
            behind = best - ranges(trial.labels)[0][1] + 1
            found.append(
                Worst(
                    error,
                    series.name,
                    trial.kind,
                    trial.start + first,
                    float(trial.scores[best]),
                    limit,
                    HEADS[int(surprise[:, :, at].max(0).argmax())],
                    behind if behind > 0 else -1,
                    round(float(np.nanstd(before)) / spread, 2),
                )
            )
    return found


def _wrong(trial: Trial, limit: float) -> list[tuple[str, int, int]]:
    """Errors of a trial: what, at which judged point, and where its score is highest."""
    alarms = trial.scores > limit
    events = merged(trial.scores, alarms, limit, GAP)
    told = [("false alarm", e.peak_at, e.peak_at) for e in events if not trial.labels[e.start : e.stop].any()]
    for start, stop in ranges(trial.labels):
        if not alarms[start:stop].any():
            told.append(("miss", start, start + int(trial.scores[start:stop].argmax())))
    return told
