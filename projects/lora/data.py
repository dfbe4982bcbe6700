"""Texts to batches: tokenised once, sorted into batches of like length, in an order that (seed, epoch) decides."""

# b batch · t time

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from datasets import Dataset, DatasetDict
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from shared import batching
from shared.assets import load_dataset
from shared.fingerprint.origin import data_digest
from shared.seeding import generator


@dataclass(frozen=True)
class Batch:
    """Padded texts and their classes."""

    input_ids: Int[Tensor, "b t"]
    attention_mask: Int[Tensor, "b t"]
    labels: Int[Tensor, " b"]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device))

    def split(self, parts: int) -> list["Batch"]:
        """Micro-batches of nearly equal size."""
        pieces = zip(*(t.tensor_split(parts) for t in (self.input_ids, self.attention_mask, self.labels)), strict=True)
        return [Batch(*piece) for piece in pieces]


@dataclass(frozen=True)
class Texts:
    """One split, tokenised.

    Attributes:
        token_ids: Special tokens included.
        labels: Class index of each text.
        pad_id: Fills a batch's short rows; the mask hides it.
    """

    texts: list[str]
    token_ids: list[list[int]]
    labels: list[int]
    pad_id: int

    def __len__(self) -> int:
        return len(self.token_ids)

    def batch(self, rows: list[int]) -> Batch:
        """The rows, padded to the longest of them."""
        chosen = [self.token_ids[row] for row in rows]
        longest = max(map(len, chosen))
        ids = torch.tensor([ids + [self.pad_id] * (longest - len(ids)) for ids in chosen])
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in chosen])
        return Batch(ids, mask, torch.tensor([self.labels[row] for row in rows]))

    def batches_by_length(self, size: int) -> Iterator[tuple[list[int], Batch]]:
        """Every row once, the short ones first: (row numbers, batch). For evaluation."""
        rows = sorted(range(len(self)), key=lambda row: len(self.token_ids[row]))
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield chosen, self.batch(chosen)

    def shuffled_batches(self, size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """Every row once, in batches of like length, in an order that depends on (seed, epoch) and nothing else."""
        source = generator(seed, epoch)
        lengths = [len(ids) for ids in self.token_ids]
        for rows in batching.of_like_length(batching.shuffled(len(self), source), lengths, size, source):
            yield self.batch(rows)


@dataclass(frozen=True)
class Corpus:
    """The three splits and the names of the classes."""

    train: Texts
    validation: Texts
    test: Texts
    classes: list[str]

    def digest(self) -> str:
        """Digest of every text and label of the three splits: what a run's fingerprint says of its data."""
        splits = (self.train, self.validation, self.test)
        return data_digest(self.classes, *(part for split in splits for part in (split.texts, split.labels)))


def load_corpus(
    dataset: str,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    limit: int | None = None,
    text_column: str = "text",
    label_column: str = "label",
) -> Corpus:
    """Read, split and tokenise a dataset.

    Args:
        dataset: Embedded name, file or hub id.
        max_length: Tokens of a text, special ones included.
        limit: Keep only so many training rows (the first of the split's fixed order).

    Raises:
        UserError: As `shared.assets.load_dataset`.
    """
    splits: DatasetDict = load_dataset(dataset, text_column=text_column, label_column=label_column)

    def read(split: Dataset) -> Texts:
        texts = list(split["text"])
        tokens = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
        return Texts(texts, tokens, list(split["label"]), tokenizer.pad_token_id)

    train = splits["train"] if limit is None else splits["train"].select(range(min(limit, len(splits["train"]))))
    classes = splits["train"].features["label"].names
    return Corpus(read(train), read(splits["validation"]), read(splits["test"]), classes)
