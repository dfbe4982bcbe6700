"""Batches of rows of like length: less padding, still in a shuffled order."""

from collections.abc import Sequence

import torch

POOL = 16  # batches whose rows are sorted together: half the padding of a random order


def shuffled(rows: int, source: torch.Generator) -> list[int]:
    """Row numbers in an order that `source` alone decides."""
    return torch.randperm(rows, generator=source).tolist()


def of_like_length(order: Sequence[int], lengths: Sequence[int], size: int, source: torch.Generator) -> list[list[int]]:
    """Batches of at most `size` rows of like length: rows that follow each other in `order` are sorted pool by pool.

    >>> source = torch.Generator().manual_seed(0)
    >>> sorted(sorted(batch) for batch in of_like_length(shuffled(4, source), [5, 1, 4, 2], 2, source))
    [[0, 2], [1, 3]]

    Args:
        order: Shuffled row numbers; rows that it leaves out are in no batch.
        lengths: One a row, in tokens or in characters.
        size: Rows of a batch; only the last one of the last pool may have fewer.
        source: Shuffles the batches.
    """
    batches = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda row: lengths[row])
        batches += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [batches[index] for index in shuffled(len(batches), source)]
