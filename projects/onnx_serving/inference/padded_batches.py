"""Whole batches with dynamic padding: sorted by length, each padded to its own longest row, under a token budget."""

# b rows · t tokens

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from projects.onnx_serving.inference.backends import Encoder
from projects.onnx_serving.inference.spans import Window, padded


def planned(
    lengths: Sequence[int], budget: int, *, largest: int | None = None, by_length: bool = True
) -> list[list[int]]:
    """Row numbers of each batch: rows × longest row of a batch stay within the budget, unless one row alone exceeds it.

    Args:
        lengths: Tokens of each row.
        budget: Padded tokens that a batch may have.
        largest: Rows that a batch may have.
        by_length: Put rows of like length together; False keeps the order of arrival, to measure what sorting saves.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row]) if by_length else list(range(len(lengths)))
    batches: list[list[int]] = []
    longest = 0
    for row in order:
        longest = max(longest, lengths[row])
        full = not batches or (len(batches[-1]) + 1) * longest > budget or len(batches[-1]) == largest
        if full:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    return batches


def waste(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the computed tokens that is padding, in [0, 1)."""
    computed = sum(len(rows) * max(lengths[row] for row in rows) for rows in batches)
    return 1 - sum(lengths[row] for rows in batches for row in rows) / computed if computed else 0.0


def run_padded(
    encoder: Encoder,
    windows: Sequence[Window],
    *,
    padding: int,
    budget: int,
    largest: int | None = None,
    by_length: bool = True,
) -> list[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]]:
    """Start and end logits of each window, in the order they came, without those of padding.

    Args:
        encoder: Torch or ONNX.
        windows: Of any lengths.
        padding: Token id that fills short rows.
        budget: See `planned`, as are `largest` and `by_length`.
        largest: See `planned`.
        by_length: See `planned`.
    """
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for rows in planned([len(window) for window in windows], budget, largest=largest, by_length=by_length):
        start, end = encoder(padded([windows[row] for row in rows], padding))
        for place, row in enumerate(rows):
            kept = len(windows[row])
            found[row] = start[place, :kept], end[place, :kept]
    return [found[row] for row in range(len(windows))]
