"""Chunks in JSONL shards, read as a stream: memory holds one shard, however large the corpus.

The order of an epoch depends on (seed, epoch) alone. Process r of n takes every n-th chunk of it, so that n processes
together read the very batches that one would, and none reads another's.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from projects.pretrain_lm.data.collator import Batch, Chunk, CustomDataCollator, word_numbers
from projects.pretrain_lm.data.tokenizer import CorpusTokenizer
from projects.pretrain_lm.distributed import Process
from shared.errors import UserError
from shared.files import write_text
from shared.seeding import generator

PIECES = 1 << 20  # chunks that a document may have; a chunk's id is document · PIECES + piece
SHARD = "shard-{:05d}.jsonl"
ALONE = Process()


def chunks_of(ids: list[int], *, document: int, context_length: int, end_id: int) -> Iterator[Chunk]:
    """Pieces of a document of at most one context, each beginning with the last token of the one before.

    The document stands between two end tokens. By the overlap of one, every token but the first is predicted just once
    in all pieces together, so perplexities do not depend on how the text was cut.
    """
    tokens = [end_id, *ids, end_id]
    step = context_length - 1
    for piece, start in enumerate(range(0, len(tokens) - 1, step)):
        yield Chunk(document * PIECES + piece, tokens[start : start + context_length])


def write_shard(path: Path, chunks: Iterable[Chunk], tokenizer: CorpusTokenizer) -> tuple[int, int]:
    """Write one JSON object a line, atomically. Returns (chunks, tokens)."""
    lines, tokens = [], 0
    for chunk in chunks:
        starts = tokenizer.word_starts(chunk.ids)
        lines.append(json.dumps({"id": chunk.id, "ids": chunk.ids, "words": word_numbers(starts)}))
        tokens += len(chunk.ids)
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines), tokens


def read_line(path: Path, number: int, line: str) -> Chunk:
    """Parse a line of a shard.

    Raises:
        UserError: If the line is no chunk: with file and line.
    """
    try:
        row = json.loads(line)
        return Chunk(row["id"], row["ids"], row["words"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}:{number}: no chunk; the file may be cut: clean the corpus again") from None


def shards_of(folder: Path) -> list[Path]:
    """The shards of a split, in order.

    Raises:
        UserError: If there is none.
    """
    shards = sorted(folder.glob("shard-*.jsonl"))
    if not shards:
        raise UserError(f"{folder} holds no shards: clean a corpus first, or the split is empty")
    return shards


class EpochChunks:
    """One epoch of a split's chunks, batch by batch.

    Args:
        folder: Holds the shards.
        batch_size: Chunks a batch of this process.
        seed: Shuffles, anew in each epoch; None keeps the order of the files, for evaluation.
        skip: Batches at the beginning that a resumed run has seen.
        process: Which share of the batches is read.

    Raises:
        UserError: If there is no shard.
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch_size: int,
        seed: int | None = None,
        epoch: int = 0,
        skip: int = 0,
        process: Process = ALONE,
    ) -> None:
        self._shards, self._batch_size, self._process = shards_of(folder), batch_size, process
        self._seed, self._epoch, self._skip = seed, epoch, skip

    def __iter__(self) -> Iterator[list[Chunk]]:
        """Batches of this process; of several workers, worker w takes every w-th."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        batch: list[tuple[Path, int, str]] = []
        number = 0
        for place, line in enumerate(self._lines()):
            if place % self._process.world_size != self._process.rank:
                continue
            batch.append(line)
            if len(batch) == self._batch_size:
                if number >= self._skip and (number - self._skip) % workers == worker:
                    yield [read_line(*each) for each in batch]
                batch, number = [], number + 1
        if batch and self._seed is None and (number - self._skip) % workers == worker:
            yield [read_line(*each) for each in batch]  # training leaves the last, short batch out

    def _lines(self) -> Iterator[tuple[Path, int, str]]:
        random = None if self._seed is None else generator(self._seed, self._epoch, 3)
        for shard in _order(len(self._shards), random):
            path = self._shards[shard]
            with path.open(encoding="utf-8") as file:
                lines = file.readlines()
            yield from ((path, row + 1, lines[row]) for row in _order(len(lines), random))


def _order(count: int, random: torch.Generator | None) -> Iterable[int]:
    return range(count) if random is None else torch.randperm(count, generator=random).tolist()


class _Dataset(IterableDataset):
    """What the DataLoader wants to see: chunks that can only be iterated."""

    def __init__(self, chunks: EpochChunks) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[list[Chunk]]:
        return iter(self.chunks)


def batches(chunks: EpochChunks, collator: CustomDataCollator, *, workers: int = 0) -> Iterable[Batch]:
    """Collated batches of an epoch."""
    return DataLoader(
        _Dataset(chunks),
        batch_size=None,  # the dataset makes the batches, or their content would depend on the number of workers
        num_workers=workers,
        collate_fn=collator,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # or an iterator would draw from the global one, and a resumed epoch has one more
    )


def count_batches(folder: Path, batch_size: int, process: Process = ALONE) -> int:
    """Full batches that an epoch gives this process."""
    lines = 0
    for path in sorted(folder.glob("shard-*.jsonl")):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return (lines - process.rank + process.world_size - 1) // process.world_size // batch_size
