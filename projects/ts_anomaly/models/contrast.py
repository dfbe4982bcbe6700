"""The causal patch Transformer of this project: it forecasts quantiles, and is trained against injected anomalies.

Each token forecasts the patch behind it; the head that judges a patch sees the token's state, and how far the patch is
from what the token before it forecast; it does not move the encoder, whose forecasts would suffer. A point is judged
by the token whose patch ends with it, so that the newest point is scored at once: the series is read at every offset,
p interleaved sequences of patches.
"""

# b batch (rows) · g groups of c channels · n points · p points of a patch · t tokens · d width · q quantiles

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from projects.ts_anomaly.models.encoder import Cache, Encoder, features, patched

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Judged:
    """What the model says of patches.

    Attributes:
        logits: One a point, of being part of an anomaly.
        residuals: (value − median) / half the spread of the quantiles, of the forecast made one patch before; 0 at
        gaps.
        forecast: Quantiles of the patch behind each token, compressed as `features` does.
    """

    logits: Float[Tensor, "b t p"]
    residuals: Float[Tensor, "b t p"]
    forecast: Float[Tensor, "b t p q"]


class Contrast(nn.Module):
    """Encoder, quantile head and judging head.

    Arguments are those of `Encoder`. With channels > 1 these are mixed: rows b come as groups of so many channels of
    one series, next to each other; a group is one sequence of tokens, whose state forecasts and judges all of them.
    """

    def __init__(
        self, patch: int = 4, width: int = 64, layers: int = 2, heads: int = 4, window: int = 64, channels: int = 1
    ) -> None:
        super().__init__()
        self.channels = channels
        self.encoder = Encoder(patch, width, layers, heads, window, channels=channels)
        self.quantiles = nn.Linear(width, channels * patch * len(QUANTILES))
        seen = width + 2 * channels * patch
        self.judge = nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, channels * patch))

    @property
    def patch(self) -> int:
        """Points of a token."""
        return self.encoder.patch

    @property
    def reach(self) -> int:
        """Points before a point that its score depends on: the encoder's, and the patch of the forecast."""
        return self.encoder.reach + self.patch

    def forward(
        self,
        values: Float[Tensor, "b n"],
        cache: Cache | None = None,
        before: Float[Tensor, "b p q"] | None = None,
    ) -> tuple[Judged, Cache]:
        """Judge patches of scaled values, going on from a cache.

        Args:
            values: n is a multiple of p.
            cache: Keys and values of the tokens before.
            before: Forecast of the first patch by the last token before it; without one its residuals are 0.
        """
        points, c = features(values), self.channels
        states, cache = self.encoder(_together(patched(points, self.patch), c), cache)
        b, t = len(values), states.shape[1]
        forecast = _apart(self.quantiles(states), c).reshape(b, t, self.patch, len(QUANTILES))
        forecast = _ordered(forecast)
        first = torch.zeros_like(forecast[:, :1]) if before is None else before[:, None]
        expected = torch.cat([first, forecast[:, :-1]], 1)
        spread = (expected[..., 2] - expected[..., 0]) / 2 + 0.02
        residuals = (points[..., 0].reshape(b, t, self.patch) - expected[..., 1]) / spread
        known = points[..., 1].reshape(b, t, self.patch) == 0
        if before is None:
            known = known & (torch.arange(t)[:, None] > 0)
        residuals = torch.where(known, residuals, 0.0)
        told = [_together(each, c) for each in (torch.asinh(residuals), spread.log())]
        evidence = torch.cat([states, *told], -1).detach()
        return Judged(_apart(self.judge(evidence), c), residuals, forecast), cache


def _together(rows: Float[Tensor, "b t k"], channels: int) -> Float[Tensor, "g t ck"]:
    """What the channels of a group say at a token, behind each other."""
    return torch.cat([rows[channel::channels] for channel in range(channels)], -1)


def _apart(groups: Float[Tensor, "g t ck"], channels: int) -> Float[Tensor, "b t k"]:
    """Undo of `_together`."""
    return torch.stack(groups.chunk(channels, -1), 1).flatten(0, 1)


def _ordered(raw: Float[Tensor, "b t p q"]) -> Float[Tensor, "b t p q"]:
    """Quantiles in order: the median, and what is added below and above it."""
    below, median, above = raw.unbind(-1)
    return torch.stack([median - F.softplus(below), median, median + F.softplus(above)], -1)


def pinball(forecast: Float[Tensor, "... q"], actual: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Quantile loss, mean over QUANTILES: least where each forecast is its quantile (Koenker and Bassett 1978)."""
    levels = torch.tensor(QUANTILES)
    error = actual[..., None] - forecast
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1)


def contrast_loss(
    judged: Judged, values: Float[Tensor, "b n"], labels: Float[Tensor, "b n"], *, trim: float = 0.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Pinball loss of normal points given the patch before them, and cross-entropy of all points.

    Args:
        values: Scaled, with injected anomalies.
        labels: 1 where one is.
        trim: Share of the sequences of the batch, those forecast worst, that the forecast does not learn from: where
            the training data hold anomalies of their own.
    """
    b, t, p = judged.logits.shape
    points, marked = features(values), labels.reshape(b, t, p)
    normal = ((points[..., 1].reshape(b, t, p) == 0) & (marked == 0))[:, 1:].float()
    errors = pinball(judged.forecast[:, :-1], points[..., 0].reshape(b, t, p)[:, 1:]) * normal
    each = errors.sum((1, 2)) / normal.sum((1, 2)).clamp(min=1)
    kept = each.sort().values[: b - int(trim * b)]
    return kept.mean(), F.binary_cross_entropy_with_logits(judged.logits, marked)
