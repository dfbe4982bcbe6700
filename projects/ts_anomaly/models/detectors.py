"""The Transformers as detectors: what a prefix fits around them, and how their evidence becomes one score.

`Contrast` gives several kinds of evidence, and each has its own scale. Each is turned into surprise, −log₁₀ of the
chance that normal data (the validation part) show as much, and their norm of order 4 is the score: near the largest,
and more where several agree. A stuck sensor is surprising because the residuals
are too small: their energy counts on both sides.
"""

# n points · c channels · r rows (= channels) · m points of the prefix

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from projects.ts_anomaly.config import Arm, Config
from projects.ts_anomaly.data.clean import Scaler
from projects.ts_anomaly.detector import Detector, Stream, from_windows, windows
from projects.ts_anomaly.models.association import Association
from projects.ts_anomaly.models.contrast import Contrast
from projects.ts_anomaly.models.interleaved import Evidence, Reading, read
from projects.ts_anomaly.models.masked import Masked
from projects.ts_anomaly.scoring.tails import FEWEST_PEAKS, Tail
from shared.errors import UserError

SHORT, LONG = 16, 24  # points over which residuals are averaged
ORDER = 4  # of the norm over kinds of evidence
HEADS = ("logit", "near", "energy", "level")
TRAINED, UNTRAINED = HEADS, HEADS[1:]  # without injected anomalies the judging head has learned nothing


class WindowTransformer(Detector):
    """Masked reconstruction or association discrepancy: every window scores its last point."""

    name = "masked"

    def __init__(self, model: Masked | Association) -> None:
        self.model, self.context = model, model.length - 1

    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """The scale; train.py trains the model."""
        self.scaler = Scaler.fit(prefix)
        return self

    @torch.no_grad()
    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """The largest over channels."""
        if len(values) <= self.context:
            return np.full(len(values), np.nan)
        each = []
        for channel in self.scaler(values).T:
            cut = torch.tensor(windows(channel, self.model.length).copy(), dtype=torch.float32)
            each.append(torch.cat([self.model.score(part) for part in cut.split(1024)]).double().numpy())
        return from_windows(np.max(each, 0), len(values))


@dataclass
class Carried:
    """State of a stream: the model's reading, and the last residuals of each row."""

    reading: Reading
    near: Float[np.ndarray, "r k"]
    far: Float[np.ndarray, "r k"]


class PatchTransformer(Detector):
    """`Contrast`, its scale and its tails.

    Args:
        model: Weights.
        heads: Kinds of evidence that count.
    """

    name = "contrast"

    def __init__(self, model: Contrast, heads: tuple[str, ...] = TRAINED) -> None:
        self.model, self.heads, self.context = model, heads, model.reach + LONG
        self.tails: list[list[tuple[Tail, Tail | None]]] = []

    def fit(self, prefix: Float[np.ndarray, "m c"]) -> "Detector":
        """The scale; train.py trains the model, and `calibrate` fits the tails."""
        self.scaler = Scaler.fit(prefix)
        return self

    def calibrate(self, values: Float[np.ndarray, "n c"], start: int) -> "PatchTransformer":
        """Fit the tails on normal data that were not trained on.

        Args:
            values: The part trained on, then the part for validation.
            start: Where the latter begins.

        Raises:
            UserError: If a channel has hardly any values there.
        """
        evidence = self.evidence(values)[:, :, start:]
        known = np.isfinite(evidence).sum(2).min(1)
        if known.min() <= FEWEST_PEAKS:
            raise UserError(
                f"channel {known.argmin()} has too few values between points {start} and {len(values)}, which validate:"
                " leave it out, or give more points"
            )
        self.fit_tails(evidence)
        return self

    def fit_tails(self, evidence: Float[np.ndarray, "r h n"]) -> None:
        """From the evidence of normal data."""
        self.tails = [[_tails(name, each) for name, each in zip(HEADS, row, strict=True)] for row in evidence]

    def evidence(self, values: Float[np.ndarray, "n c"], state: Carried | None = None) -> Float[np.ndarray, "r h n"]:
        """HEADS of each row and point; NaN where there is none."""
        state = state or self.begin()
        scaled = self.scaler(values).T
        said = read(self.model, np.ascontiguousarray(scaled), state.reading)
        return np.stack([said.logit, np.abs(said.near), *_averaged(said, state)], 1)

    def begin(self) -> Carried:
        """A stream before its first point."""
        empty = np.full((len(self.scaler.centre), LONG - 1), np.nan)
        return Carried(Reading.new(self.model.patch), empty, empty)

    def judge(self, evidence: Float[np.ndarray, "r h n"]) -> Float[np.ndarray, "r h n"]:
        """Surprise of each kind of evidence, 0 where there is none."""
        found = np.zeros_like(evidence)
        for row, tails in enumerate(self.tails):
            for place, (above, below) in enumerate(tails):
                if HEADS[place] in self.heads:
                    each = above.surprise(evidence[row, place])
                    if below is not None:
                        each = np.fmax(each, below.surprise(-evidence[row, place]))
                    found[row, place] = np.nan_to_num(each)
        return found

    def push(self, values: Float[np.ndarray, "n c"], state: Carried) -> Float[np.ndarray, " n"]:
        """Scores of the next points; the state moves on."""
        return combined(self.judge(self.evidence(values, state)))

    def score(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """As `combined` of the surprise of all channels and kinds of evidence."""
        scores = self.push(values, self.begin())
        scores[: self.model.patch] = np.nan
        return scores

    def stream(self) -> Stream:
        """With caches: a point costs one token, however long the context."""
        return _Streamed(self)


class _Streamed:
    def __init__(self, detector: PatchTransformer) -> None:
        self._detector, self._state = detector, detector.begin()

    def push(self, values: Float[np.ndarray, " c"]) -> float:
        early = self._state.reading.seen < self._detector.model.patch
        score = float(self._detector.push(np.asarray(values, dtype=float)[None], self._state)[0])
        return float("nan") if early else score


def combined(surprise: Float[np.ndarray, "r h n"]) -> Float[np.ndarray, " n"]:
    """The norm over kinds of evidence, of the channel where it is largest."""
    norm: Float[np.ndarray, " n"] = ((surprise**ORDER).sum(1) ** (1 / ORDER)).max(0)
    return norm


def _averaged(said: Evidence, state: Carried) -> tuple[Float[np.ndarray, "r n"], Float[np.ndarray, "r n"]]:
    """Log energy of the last SHORT near residuals, and |mean| of the last LONG far ones; gaps are left out."""
    near, far = np.concatenate([state.near, said.near], 1), np.concatenate([state.far, said.far], 1)
    state.near, state.far = near[:, near.shape[1] - LONG + 1 :], far[:, far.shape[1] - LONG + 1 :]
    size = _moving(np.minimum(np.abs(near), 4.0), SHORT)[:, LONG - SHORT :]
    level = _moving(np.clip(far, -100, 100), LONG)
    return np.log(size + 0.01), np.abs(level)


def _moving(values: Float[np.ndarray, "r n"], length: int) -> Float[np.ndarray, "r w"]:
    """Mean of every window, of the values that are there; NaN where fewer than half are."""
    cut = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
    known = (~np.isnan(cut)).sum(2)
    sums = np.nansum(cut, axis=2)
    return np.where(known * 2 >= length, sums / np.maximum(known, 1), np.nan)


def _tails(name: str, evidence: Float[np.ndarray, " n"]) -> tuple[Tail, Tail | None]:
    return Tail.fit(evidence), Tail.fit(-evidence) if name == "energy" else None


def new_model(config: Config, channels: int = 1) -> Contrast | Masked | Association:
    """Random weights of an arm, seeded by whoever calls; `channels` of the series, which the arm mixed mixes."""
    if config.arm in ("contrast", "forecast", "mixed"):
        mixed = channels if config.arm == "mixed" else 1
        return Contrast(config.patch, config.width, config.layers, 4, config.window, mixed)
    kind: Callable[..., Any] = Masked if config.arm == "masked" else Association
    return kind(config.window, config.patch, config.width, config.layers)


def new_detector(arm: Arm, model: Contrast | Masked | Association) -> PatchTransformer | WindowTransformer:
    """The detector around an arm's model."""
    if isinstance(model, Contrast):
        return PatchTransformer(model, UNTRAINED if arm == "forecast" else TRAINED)
    return WindowTransformer(model)
