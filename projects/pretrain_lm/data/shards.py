"""Chunks in JSONL shards, read as a stream: memory holds one shard, however large the corpus.

The order of an epoch depends on (seed, epoch) alone. Process r of n takes every n-th chunk of it, so that n processes
together read the very batches that one would, and none reads another's.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from projects.pretrain_lm.data.collator import Batch, Chunk, CustomDataCollator, word_numbers
from projects.pretrain_lm.data.vocabulary import Vocabulary
from shared.errors import UserError
from shared.files import write_text
from shared.seeding import generator

PIECES = 1 << 20  # chunks that a document may have; a chunk's id is document · PIECES + piece
SHARD = "shard-{:05d}.jsonl"


def chunks_of(ids: list[int], *, document: int, context: int, end: int) -> Iterator[Chunk]:
    """Pieces of a document of at most `context` tokens, each beginning with the last token of the one before.

    The document stands between two end tokens. By the overlap of one, every token but the first is predicted just once
    in all pieces together, so perplexities do not depend on how the text was cut.
    """
    tokens = [end, *ids, end]
    step = context - 1
    for piece, start in enumerate(range(0, len(tokens) - 1, step)):
        yield Chunk(document * PIECES + piece, tokens[start : start + context])


def write_shard(path: Path, chunks: Iterable[Chunk], vocabulary: Vocabulary) -> tuple[int, int]:
    """One JSON object a line, atomically. Returns (chunks, tokens)."""
    lines, tokens = [], 0
    for chunk in chunks:
        starts = vocabulary.word_starts(chunk.ids)
        lines.append(json.dumps({"id": chunk.id, "ids": chunk.ids, "words": word_numbers(starts)}))
        tokens += len(chunk.ids)
    write_text(path, "".join(f"{line}\n" for line in lines))
    return len(lines), tokens


def read_line(path: Path, number: int, line: str) -> Chunk:
    """A chunk.

    Raises:
        UserError: If the line is no chunk: with file and line.
    """
    try:
        row = json.loads(line)
        return Chunk(row["id"], row["ids"], row["words"])
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}:{number}: no chunk; the file may be cut: clean the corpus again") from None


@dataclass(frozen=True)
class Part:
    """Which share of the chunks a process reads.

    Attributes:
        rank: Number of the process, from 0.
        world: How many there are.
    """

    rank: int = 0
    world: int = 1


class Chunks:
    """A split's chunks, batch by batch, in the order of an epoch.

    Args:
        folder: Holds the shards.
        batch: Chunks a batch of this process.
        seed: Of the order; None keeps that of the files, for evaluation.
        part: Of the processes that share the epoch.

    Raises:
        UserError: If there is no shard.
    """

    def __init__(self, folder: Path, *, batch: int, seed: int | None = None, part: Part = Part()) -> None:
        self.paths = sorted(folder.glob("shard-*.jsonl"))
        if not self.paths:
            raise UserError(f"{folder} holds no shards: clean a corpus first, or the split is empty")
        self.batch, self.seed, self.part = batch, seed, part
        self.epoch = 0
        self.skip = 0  # batches of the epoch that a resumed run has seen

    def __iter__(self) -> Iterator[list[Chunk]]:
        """Batches of this process; of several workers, worker w takes every w-th."""
        worker = get_worker_info()
        mine, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        batch: list[tuple[Path, int, str]] = []
        number = 0
        for place, line in enumerate(self._lines()):
            if place % self.part.world != self.part.rank:
                continue
            batch.append(line)
            if len(batch) == self.batch:
                if number >= self.skip and (number - self.skip) % workers == mine:
                    yield [read_line(*each) for each in batch]
                batch, number = [], number + 1
        if batch and self.seed is None and (number - self.skip) % workers == mine:
            yield [read_line(*each) for each in batch]  # training leaves the last, short batch out

    def _lines(self) -> Iterator[tuple[Path, int, str]]:
        draw = None if self.seed is None else generator(self.seed, self.epoch, 3)
        order = range(len(self.paths)) if draw is None else torch.randperm(len(self.paths), generator=draw).tolist()
        for shard in order:
            path = self.paths[shard]
            with path.open(encoding="utf-8") as file:
                lines = file.readlines()
            rows = range(len(lines)) if draw is None else torch.randperm(len(lines), generator=draw).tolist()
            yield from ((path, row + 1, lines[row]) for row in rows)


class _Stream(IterableDataset):
    """What the DataLoader wants to see: chunks that can only be iterated."""

    def __init__(self, chunks: Chunks) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[list[Chunk]]:
        return iter(self.chunks)


def batches(chunks: Chunks, collator: CustomDataCollator, *, workers: int = 0) -> Iterable[Batch]:
    """Collated batches of the epoch that chunks and collator are set to."""
    return DataLoader(
        _Stream(chunks),
        batch_size=None,  # the dataset makes the batches, or their content would depend on the number of workers
        num_workers=workers,
        collate_fn=collator,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # or an iterator would draw from the global one, and a resumed epoch has one more
    )


def count_batches(folder: Path, batch: int, part: Part = Part()) -> int:
    """Full batches that an epoch gives this process."""
    lines = 0
    for path in sorted(folder.glob("shard-*.jsonl")):
        with path.open("rb") as file:
            lines += sum(1 for _ in file)
    return (lines - part.rank + part.world - 1) // part.world // batch
