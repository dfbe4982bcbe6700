"""Whole batches with dynamic padding: sorted by length, each padded to its own longest row, under a token budget."""

# b rows · t tokens

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from projects.onnx_serving.inference.backends import Encoder
from projects.onnx_serving.inference.spans import Window, pad_windows


def plan_batches(
    lengths: Sequence[int], token_budget: int, *, max_rows: int | None = None, sort_by_length: bool = True
) -> list[list[int]]:
    """Row numbers of each batch: rows × longest row stay within the budget, unless one row alone exceeds it.

    Args:
        lengths: Tokens of each row.
        token_budget: Tokens that a batch may have, padding included.
        max_rows: Rows that a batch may have; None means any number.
        sort_by_length: Put rows of like length together; False keeps the order of arrival, to compare with.
    """
    rows = range(len(lengths))
    batches: list[list[int]] = []
    longest = 0
    for row in sorted(rows, key=lambda row: lengths[row]) if sort_by_length else rows:
        longest = max(longest, lengths[row])
        full = not batches or (len(batches[-1]) + 1) * longest > token_budget or len(batches[-1]) == max_rows
        if full:
            batches.append([])
            longest = lengths[row]
        batches[-1].append(row)
    return batches


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the computed tokens that is padding, in [0, 1)."""
    computed = sum(len(rows) * max(lengths[row] for row in rows) for rows in batches)
    return 1 - sum(lengths[row] for rows in batches for row in rows) / computed if computed else 0.0


def run_padded(
    encoder: Encoder,
    windows: Sequence[Window],
    *,
    pad_id: int,
    token_budget: int,
    max_rows: int | None = None,
    sort_by_length: bool = True,
) -> list[tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]]:
    """Start and end logits of each window, in the order of the windows, without those of padding.

    The options are those of `plan_batches`.
    """
    lengths = [len(window) for window in windows]
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for rows in plan_batches(lengths, token_budget, max_rows=max_rows, sort_by_length=sort_by_length):
        start, end = encoder(pad_windows([windows[row] for row in rows], pad_id))
        for place, row in enumerate(rows):
            found[row] = start[place, : lengths[row]], end[place, : lengths[row]]
    return [found[row] for row in range(len(windows))]
