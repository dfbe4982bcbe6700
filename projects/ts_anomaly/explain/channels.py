"""Why a point was called anomalous: which channel and which kind of evidence, which steps, and what normal looks like.

Attention weights are no explanation (Jain and Wallace 2019). Steps are explained by occlusion, what happens to the
score when they are replaced, and the explanation itself is put to a test: deleting the steps that it names must lower
the score more than deleting as many others.
"""

# n points · c channels · k steps of a window

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from projects.ts_anomaly.baselines.matrix_profile import normalised
from projects.ts_anomaly.data.clean import filled
from projects.ts_anomaly.detector import windows
from projects.ts_anomaly.models.detectors import HEADS, PatchTransformer

SHOWN = 64  # steps up to the point that are explained


@dataclass(frozen=True)
class Because:
    """Where the surprise of a point comes from.

    Attributes:
        channel: The one that decided.
        evidence: Which of HEADS did.
        by_channel: Largest surprise of each channel.
        by_evidence: Surprise of each kind of evidence in the channel that decided.
    """

    channel: int
    evidence: str
    by_channel: tuple[float, ...]
    by_evidence: dict[str, float]


def because(detector: PatchTransformer, values: Float[np.ndarray, "n c"]) -> Because:
    """Channel and kind of evidence that decided on the last point."""
    surprise = detector.judge(detector.evidence(values))[:, :, -1]
    channel = int(surprise.max(1).argmax())
    place = int(surprise[channel].argmax())
    told = {name: float(value) for name, value in zip(HEADS, surprise[channel], strict=True)}
    return Because(channel, HEADS[place], tuple(float(each) for each in surprise.max(1)), told)


def occlusion(
    detector: PatchTransformer, values: Float[np.ndarray, "n c"], channel: int, *, shown: int = SHOWN, size: int = 1
) -> Float[np.ndarray, " k"]:
    """How much the score of the last point falls when each of the last steps is replaced by what interpolates it.

    Args:
        channel: Whose steps are replaced.
        shown: How many steps; those before have 0.
        size: Steps that are replaced together.
    """
    whole = float(detector.score(values)[-1])
    fall = np.zeros(shown)
    for step in range(0, shown, size):
        places = np.arange(len(values) - shown + step, min(len(values) - shown + step + size, len(values)))
        fall[step : step + size] = whole - float(detector.score(without(values, channel, places))[-1])
    return fall


def without(values: Float[np.ndarray, "n c"], channel: int, places: Int[np.ndarray, " k"]) -> Float[np.ndarray, "n c"]:
    """The series with steps of a channel replaced by a line between their neighbours (the last value, at the end)."""
    changed = values.copy()
    kept = np.setdiff1d(np.arange(len(values)), places)
    kept = kept[~np.isnan(values[kept, channel])]
    changed[places, channel] = np.interp(places, kept, values[kept, channel])
    return changed


def deletion_gain(
    detector: PatchTransformer,
    values: Float[np.ndarray, "n c"],
    channel: int,
    fall: Float[np.ndarray, " k"],
    *,
    count: int,
    seed: int,
) -> tuple[float, float]:
    """How far the score falls without the `count` steps of largest fall, and without as many drawn ones.

    Source: the deletion test of Petsiuk et al. 2018, "RISE", §4.3, at one point of its curve.
    """
    whole = float(detector.score(values)[-1])
    first = len(values) - len(fall)
    drawn = np.random.default_rng(seed).choice(len(fall), count, replace=False)
    named = np.sort(np.argsort(-fall, kind="stable")[:count])
    scores = [float(detector.score(without(values, channel, first + np.sort(each)))[-1]) for each in (named, drawn)]
    return whole - scores[0], whole - scores[1]


def nearest_normal(
    normal: Float[np.ndarray, "m c"], values: Float[np.ndarray, "n c"], channel: int, *, length: int = SHOWN
) -> tuple[int, float]:
    """Where in normal data the stretch is that is most like the last one in shape, and its correlation with it."""
    known, recent = filled(normal)[:, channel], filled(values)[-length:, channel]
    correlations = normalised(windows(known, length)) @ normalised(recent[None])[0]
    return int(correlations.argmax()), float(correlations.max())
