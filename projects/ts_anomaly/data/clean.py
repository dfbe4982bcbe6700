"""From rows with gaps and odd times to a regular grid, and scales that are fitted on the past only."""

# n points · c channels · m points of the training prefix

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shared.errors import UserError

SMALLEST = 1e-9  # a scale below it is that of a flat channel, whose every move is large: it is 1 there
LARGEST_GRID = 10_000_000  # steps


@dataclass(frozen=True)
class Scaler:
    """Centre and scale a channel, from the training prefix.

    Attributes:
        centre: Median.
        scale: 1.4826 × the median absolute deviation, or the standard deviation where that is 0 (most values equal);
            1 for a flat channel.
    """

    centre: Float[np.ndarray, " c"]
    scale: Float[np.ndarray, " c"]

    @classmethod
    def fit(cls, prefix: Float[np.ndarray, "m c"]) -> "Scaler":
        """From the past; gaps are left out, and anomalies in it move a median little.

        Raises:
            UserError: If a channel has no value at all.
        """
        if not len(prefix) or np.isnan(prefix).all(0).any():
            raise UserError("a channel has no value in the part to fit on: leave it out, or fit on more")
        centre = np.nanmedian(prefix, axis=0)
        spread = 1.4826 * np.nanmedian(np.abs(prefix - centre), axis=0)
        deviation = np.nanstd(prefix, axis=0)
        spread = np.where(spread > 0.1 * deviation, spread, deviation)
        return cls(centre, np.where(spread > SMALLEST * np.maximum(1, np.abs(centre)), spread, 1.0))

    def __call__(self, values: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Scaled values; gaps stay gaps, and a value beyond float's range is one."""
        scaled = (values - self.centre) / self.scale
        return np.where(np.abs(scaled) < 1e12, scaled, np.nan)


def filled(values: Float[np.ndarray, "n c"], start: float = 0.0) -> Float[np.ndarray, "n c"]:
    """Gaps filled with the last value before them, `start` before the first: nothing is taken from the future.

    >>> filled(np.array([[np.nan], [2.0], [np.nan], [3.0]])).ravel().tolist()
    [0.0, 2.0, 2.0, 3.0]
    """
    known = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    taken = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, taken, start)


def regular(
    times: Float[np.ndarray, " n"], values: Float[np.ndarray, "n c"], step: float | None = None
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m c"]]:
    """Values on a grid of equal steps: each goes to the nearest step, of several at one step the first stays, NaN
    where none.

    So a stream, which cannot wait for a better value, makes the same grid. Daylight saving needs no care: times are
    seconds since 1970.

    Args:
        times: Rising, in seconds.
        step: Seconds; by default the median distance of two times.

    Raises:
        UserError: If the step is not positive, or the grid would be huge (a clock that jumped far).
    """
    step = float(np.median(np.diff(times))) if step is None and len(times) > 1 else (step or 1.0)
    if not step > 0:
        raise UserError(f"a step of {step} s: must be above 0")
    places = np.round((times - times[0]) / step).astype(int)
    if places[-1] >= LARGEST_GRID:
        raise UserError(f"{places[-1] + 1} steps of {step:g} s from first to last time, of at most {LARGEST_GRID}")
    grid = np.full((places[-1] + 1, values.shape[1]), np.nan)
    for channel in range(values.shape[1]):
        known = ~np.isnan(values[:, channel])
        first = np.flatnonzero(known)[::-1]  # of one place the first is written last
        grid[places[first], channel] = values[first, channel]
    return times[0] + step * np.arange(len(grid)), grid
