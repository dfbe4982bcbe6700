"""The order of an epoch: batches of like length, drawn from (seed, epoch) alone."""

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from shared import batching
from shared.seeding import generator


class LengthGroupedSampler(Sampler[int]):
    """Rows so ordered that each consecutive `batch` of them have like lengths; a short batch comes last.

    The order does not depend on how a batch is split into micro-batches, nor on any random generator's state: a run
    that resumes in the middle of an epoch, even with smaller micro-batches, finds the same batches. The library's own
    sampler by length draws from torch's global generator and would not.

    Args:
        lengths: Tokens of each row.
        batch: Rows of an effective batch.
    """

    def __init__(self, lengths: Sequence[int], *, batch: int, seed: int) -> None:
        self.lengths, self.batch, self.seed, self.epoch = list(lengths), batch, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the library calls it at the start of each, resumed ones included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        source = generator(self.seed, self.epoch)
        order = batching.shuffled(len(self), source)
        whole = len(order) - len(order) % self.batch
        for rows in batching.of_like_length(order[:whole], self.lengths, self.batch, source):
            yield from rows
        yield from order[whole:]
