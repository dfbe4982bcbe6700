"""The order of an epoch: batches of like length, drawn from (seed, epoch) alone."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from shared.seeding import generator

POOL = 16  # batches whose texts are sorted together: half the padding of a random order, which still is shuffled


class LikeLengths(Sampler[int]):
    """Rows so ordered that each consecutive `batch` of them have like lengths; a short batch comes last.

    The order does not depend on how a batch is split into micro-batches, nor on any random generator's state: a run
    that resumes in the middle of an epoch, even with smaller micro-batches, finds the same batches. The library's own
    sampler by length draws from torch's global generator and would not.

    Args:
        lengths: Of each row, in tokens.
        batch: Rows of an effective batch.
        seed: Of the run.
    """

    def __init__(self, lengths: Sequence[int], *, batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the library at the start of each epoch, resumed ones included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        source = generator(self.seed, self.epoch)
        order = torch.randperm(len(self), generator=source).tolist()
        whole = len(order) - len(order) % self.batch
        order, rest = order[:whole], order[whole:]
        batches = []
        for start in range(0, whole, self.batch * POOL):
            pool = sorted(order[start : start + self.batch * POOL], key=lambda row: self.lengths[row])
            batches += [pool[i : i + self.batch] for i in range(0, len(pool), self.batch)]
        for index in torch.randperm(len(batches), generator=source).tolist():
            yield from batches[index]
        yield from rest
