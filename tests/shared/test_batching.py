"""Batches of like length: every row once, little padding, an order that the generator alone decides."""

import random

import pytest
import torch

from shared.batching import POOL, of_like_length, shuffled

DRAW = random.Random(7)
LENGTHS = [DRAW.randint(1, 60) for _ in range(1000)]


def batches(seed=0, size=8, rows=1000):
    source = torch.Generator().manual_seed(seed)
    return of_like_length(shuffled(rows, source), LENGTHS, size, source)


@pytest.mark.parametrize(("size", "rows"), [(8, 1000), (7, 1000), (1, 5), (64, 10), (3, 3 * POOL), (8, 0)])
def test_every_row_is_in_one_batch(size, rows):
    found = batches(size=size, rows=rows)
    assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert len(found) == -(-rows // size) and all(len(batch) <= size for batch in found)


def test_rows_of_a_batch_have_like_lengths():
    def padding(found):
        return sum(max(lengths) * len(lengths) - sum(lengths) for lengths in ([LENGTHS[r] for r in b] for b in found))

    order = shuffled(1000, torch.Generator().manual_seed(0))
    assert padding(batches()) < 0.25 * padding([order[i : i + 8] for i in range(0, 1000, 8)])


def test_the_order_is_shuffled_and_the_generators():
    assert batches() == batches() != batches(seed=1)
    means = [sum(LENGTHS[row] for row in batch) / len(batch) for batch in batches()]
    assert means != sorted(means)  # long and short batches are mixed


def test_rows_that_the_order_leaves_out_are_in_no_batch():
    found = of_like_length([5, 3, 9], LENGTHS, 2, torch.Generator().manual_seed(0))
    assert sorted(row for batch in found for row in batch) == [3, 5, 9]
