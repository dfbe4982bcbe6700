"""Reading a stream with a patch model so that every point ends a patch: p interleaved sequences, each with its own
cache.

One code for a series at once, for chunks, and for single points: what is carried on is all that the next score
depends on.
"""

# r rows (channels, or metrics) · n points · p points of a patch · q quantiles · o offsets, one a sequence

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from projects.ts_anomaly.models.contrast import Contrast, Judged
from projects.ts_anomaly.models.encoder import Cache, features

CHUNK = 8192  # points of all rows that are read at once, so that memory does not grow with the series


@dataclass
class Reading:
    """All that the next score depends on, beside the model.

    Attributes:
        seen: Points read so far.
        last: The last p − 1 points of each row, (r, p − 1) or fewer.
        caches: One for each of the p sequences.
        forecasts: The last forecast of each sequence, (r, p, q).
    """

    seen: int = 0
    last: Tensor | None = None
    caches: list[Cache | None] = field(default_factory=list)
    forecasts: list[Tensor | None] = field(default_factory=list)

    @classmethod
    def new(cls, patch: int) -> "Reading":
        """Before the first point."""
        return cls(0, None, [None] * patch, [None] * patch)


@dataclass(frozen=True)
class Evidence:
    """What the model says of each point when it comes; NaN where it cannot say anything yet.

    Attributes:
        logit: For being part of an anomaly.
        near: Residual of the forecast made one point before.
        far: Residual of the forecast made a patch before.
    """

    logit: Float[np.ndarray, "r n"]
    near: Float[np.ndarray, "r n"]
    far: Float[np.ndarray, "r n"]


@torch.no_grad()
def read(model: Contrast, values: Float[np.ndarray, "r n"], state: Reading) -> Evidence:
    """Judge the next points of each row, and move the state on."""
    patch, points = model.patch, torch.tensor(values, dtype=torch.float32)
    parts: list[Tensor] = []
    most = max(patch, CHUNK // max(len(points), 1) // patch * patch)
    while points.shape[1]:
        aligned = (state.seen + 1) % patch == 0 and state.seen >= patch - 1 and points.shape[1] >= patch
        take = min(points.shape[1] // patch * patch, most) if aligned else 1
        parts.append(_chunk(model, points[:, :take], state) if aligned else _point(model, points[:, :1], state))
        points = points[:, take:]
    if not parts:
        return Evidence(*np.zeros((3, len(values), 0)))
    return Evidence(*torch.cat(parts, 2).double().numpy())


def _point(model: Contrast, point: Float[Tensor, "r 1"], state: Reading) -> Float[Tensor, "3 r 1"]:
    """One point, which ends a patch of one of the sequences."""
    patch = model.patch
    recent = point if state.last is None else torch.cat([state.last, point], 1)
    turn = state.seen % patch
    said = torch.full((3, len(point), 1), torch.nan)
    said[1], said[2] = _residual(point, state, 1, patch), _residual(point, state, patch, patch)
    if recent.shape[1] == patch:
        judged, state.caches[turn] = model(recent, state.caches[turn], state.forecasts[turn])
        state.forecasts[turn] = judged.forecast[:, -1]
        said[0] = judged.logits[:, -1:, -1]
    state.last, state.seen = recent[:, -(patch - 1) :], state.seen + 1
    return said


def _residual(point: Float[Tensor, "r 1"], state: Reading, ahead: int, patch: int) -> Float[Tensor, "r 1"]:
    """How far a point is from what was forecast so many points before; NaN where nothing was, or for a gap."""
    forecast = state.forecasts[(state.seen - ahead) % patch]
    if forecast is None:
        return torch.full_like(point, torch.nan)
    return _apart(point, forecast[:, None, ahead - 1])


def _apart(points: Float[Tensor, "r n"], quantiles: Float[Tensor, "r n q"]) -> Float[Tensor, "r n"]:
    value = torch.where(points.isnan(), torch.nan, features(points)[..., 0])
    return (value - quantiles[..., 1]) / ((quantiles[..., 2] - quantiles[..., 0]) / 2 + 0.02)


def _chunk(model: Contrast, points: Float[Tensor, "r n"], state: Reading) -> Float[Tensor, "3 r n"]:
    """A multiple of p points, all sequences at once as rows of one batch."""
    patch, (rows, n) = model.patch, points.shape
    assert state.last is not None
    recent = torch.cat([state.last, points], 1)  # (r, p − 1 + n)
    order = [(state.seen + step) % patch for step in range(patch)]  # whose patch ends with each of the next p points
    shifted = torch.cat([recent[:, step : step + n] for step in range(patch)])  # (p · r, n)
    before = _joined([state.forecasts[turn] for turn in order])
    judged, cache = model(shifted, _joined_caches([state.caches[turn] for turn in order]), before)
    made = _in_time(judged, rows, patch)  # (r, n, p, q), of the token that ends at each point
    earlier = [_made_before(state, ahead, rows, patch) for ahead in (1, patch)]
    near = _apart(points, torch.cat([earlier[0], made[:, :-1, 0]], 1))
    far = _apart(points, torch.cat([earlier[1], made[:, :-patch, patch - 1]], 1)[:, :n])
    for step, turn in enumerate(order):
        own, groups = slice(step * rows, (step + 1) * rows), rows // model.channels
        group = slice(step * groups, (step + 1) * groups)
        state.caches[turn] = [(key[group], value[group]) for key, value in cache]
        state.forecasts[turn] = judged.forecast[own, -1]
    state.last, state.seen = recent[:, recent.shape[1] - (patch - 1) :], state.seen + n
    logit = judged.logits[..., -1].reshape(patch, rows, -1).permute(1, 2, 0).reshape(rows, n)
    return torch.stack([logit, near, far])


def _in_time(judged: Judged, rows: int, patch: int) -> Float[Tensor, "r n p q"]:
    """Forecasts in the order of the points at which they were made."""
    _, t, p, q = judged.forecast.shape
    return judged.forecast.reshape(patch, rows, t, p, q).permute(1, 2, 0, 3, 4).reshape(rows, t * patch, p, q)


def _made_before(state: Reading, ahead: int, rows: int, patch: int) -> Float[Tensor, "r a q"]:
    """Forecasts of the next `ahead` points, each made so many points before; NaN where there was none."""
    found = []
    for step in range(ahead):
        forecast = state.forecasts[(state.seen + step - ahead) % patch]
        found.append(torch.full((rows, 3), torch.nan) if forecast is None else forecast[:, ahead - 1])
    return torch.stack(found, 1)


def _joined(forecasts: list[Tensor | None]) -> Tensor | None:
    known = [each for each in forecasts if each is not None]
    assert len(known) in (0, len(forecasts)), "sequences are aligned"
    return torch.cat(known) if known else None


def _joined_caches(caches: list[Cache | None]) -> Cache | None:
    known = [cache for cache in caches if cache is not None]
    assert len(known) in (0, len(caches)), "sequences are aligned"
    if not known:
        return None
    return [(torch.cat([c[n][0] for c in known]), torch.cat([c[n][1] for c in known])) for n in range(len(known[0]))]
