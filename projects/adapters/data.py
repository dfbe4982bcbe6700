"""Texts and sentences to batches: tokenised once, batched by like length, in an order that (seed, epoch) decides."""

# b batch · t time

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from projects.adapters.ner import LEVELS, SIZES, TAGS, Sentence, generate, read_conll
from shared import batching
from shared.assets import load_dataset
from shared.errors import UserError
from shared.fingerprint.origin import data_digest
from shared.seeding import generator

IGNORED = -100  # the label that the loss passes over: special tokens, continuation pieces, padding
SPLITS = ("train", "validation", "test")
NER = {f"ner-{level}": level for level in LEVELS}


@dataclass(frozen=True)
class Batch:
    """Padded texts with a class each, or a class for each token."""

    input_ids: Int[Tensor, "b t"]
    attention_mask: Int[Tensor, "b t"]
    labels: Int[Tensor, " b"] | Int[Tensor, "b t"]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Texts:
    """One split, tokenised.

    Attributes:
        texts: As they were read; for sentences their words, joined by spaces.
        tokens: Token ids of each text, special tokens included.
        labels: Class of each text, or of each of its tokens (IGNORED where no word begins).
        padding: Id that fills a batch's short rows; the mask hides it.
    """

    texts: list[str]
    tokens: list[list[int]]
    labels: list[int] | list[list[int]]
    padding: int

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, count: int) -> "Texts":
        """The first rows of the split's fixed order."""
        return Texts(self.texts[:count], self.tokens[:count], self.labels[:count], self.padding)

    def batch(self, rows: list[int]) -> Batch:
        """The rows, padded to the longest of them."""
        tokens = [self.tokens[row] for row in rows]
        labels = [self.labels[row] for row in rows]
        longest = max(map(len, tokens))
        ids = torch.tensor([row + [self.padding] * (longest - len(row)) for row in tokens])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
        filled = [row + [IGNORED] * (longest - len(row)) if isinstance(row, list) else row for row in labels]
        return Batch(ids, mask, torch.tensor(filled))

    def in_order(self, size: int) -> Iterator[tuple[list[int], Batch]]:
        """Every row once, the short ones first: (row numbers, batch). For evaluation."""
        rows = sorted(range(len(self)), key=lambda row: len(self.tokens[row]))
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            yield chosen, self.batch(chosen)

    def shuffled(self, size: int, *, seed: int, epoch: int) -> Iterator[Batch]:
        """Every row once, in batches of like length, in an order that depends on (seed, epoch) and nothing else."""
        source = generator(seed, epoch)
        lengths = [len(row) for row in self.tokens]
        for rows in batching.of_like_length(batching.shuffled(len(self), source), lengths, size, source):
            yield self.batch(rows)


@dataclass(frozen=True)
class Corpus:
    """The three splits and the names of the classes; `tagging` says whether each word has one, or each text."""

    train: Texts
    validation: Texts
    test: Texts
    classes: list[str]
    tagging: bool

    def digest(self) -> str:
        """Of every text and label of the three splits: what a run's fingerprint says of its data."""
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
    """Read and tokenise the three splits of a dataset.

    Args:
        dataset: ner-1, ner-2, ner-3, a folder with train.conll, validation.conll and test.conll, or whatever
            `shared.assets.load_dataset` takes.
        tokenizer: Of the encoder.
        max_length: Tokens of a text, special ones included.
        limit: Keep only so many training rows (the first of the split's fixed order).
        text_column: Column that holds the text.
        label_column: Column that holds the class.

    Raises:
        UserError: As `shared.assets.load_dataset` and `ner.read_conll`, or if the other splits hold a label that
            training does not.
    """
    sentences = read_sentences(dataset)
    if sentences is not None:
        kept = sentences["train"][:limit]
        classes = tags_of(kept)
        parts = {"train": kept, "validation": sentences["validation"], "test": sentences["test"]}
        read = {name: tagged(part, classes, tokenizer, max_length, name) for name, part in parts.items()}
        return Corpus(**read, classes=classes, tagging=True)
    splits = load_dataset(dataset, text_column=text_column, label_column=label_column)
    names = splits["train"].features["label"].names
    train = splits["train"] if limit is None else splits["train"].select(range(min(limit, len(splits["train"]))))
    refuse_unseen(dataset, set(train["label"]), {s: set(splits[s]["label"]) for s in SPLITS[1:]}, names)
    parts = {"train": train, "validation": splits["validation"], "test": splits["test"]}
    return Corpus(
        **{name: classified(part, tokenizer, max_length) for name, part in parts.items()}, classes=names, tagging=False
    )


def read_sentences(dataset: str) -> dict[str, list[Sentence]] | None:
    """Tagged sentences by split, or None if the name does not mean any."""
    if dataset in NER:
        return {split: generate(NER[dataset], split) for split in SIZES}
    folder = Path(dataset)
    if (folder / "train.conll").exists():
        return {split: read_conll(folder / f"{split}.conll") for split in SPLITS}
    if dataset.startswith("ner") and dataset.partition("-")[2].isdigit():
        raise UserError(f"--dataset {dataset}: the synthetic levels are {', '.join(NER)}")
    return None


def classified(split: Dataset, tokenizer: PreTrainedTokenizerFast, max_length: int) -> Texts:
    """A split whose texts have one class each."""
    texts = list(split["text"])
    tokens = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    return Texts(texts, tokens, list(split["label"]), tokenizer.pad_token_id)


def tagged(
    sentences: Sequence[Sentence],
    classes: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    where: str,
) -> Texts:
    """Sentences cut into pieces: the first piece of a word bears its tag, all else IGNORED.

    Args:
        sentences: With words and tags.
        classes: The tags of training; their places are the labels.
        tokenizer: Of the encoder.
        max_length: Tokens of a text; the words beyond are cut.
        where: Named in the error.

    Raises:
        UserError: If a tag is not among the classes.
    """
    place = {tag: index for index, tag in enumerate(classes)}
    for number, sentence in enumerate(sentences, start=1):
        for tag in sentence.tags:
            if tag not in place:
                raise UserError(
                    f"{where}, sentence {number}: label {tag} was not seen in training ({', '.join(place)})"
                )
    words = [list(sentence.words) for sentence in sentences]
    pieces = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    labels = [first_pieces(pieces.word_ids(i), [place[tag] for tag in s.tags]) for i, s in enumerate(sentences)]
    return Texts([" ".join(row) for row in words], pieces["input_ids"], labels, tokenizer.pad_token_id)


def first_pieces(word_ids: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """One label a piece: a word's label on its first piece, IGNORED elsewhere.

    >>> first_pieces([None, 0, 0, 1, None], [5, 7])
    [-100, 5, -100, 7, -100]
    """
    before = [None, *word_ids[:-1]]
    return [
        IGNORED if word is None or word == last else labels[word] for word, last in zip(word_ids, before, strict=True)
    ]


def tags_of(sentences: Sequence[Sentence]) -> list[str]:
    """The tags that occur, in the order of the generator's own where they are its own, else O first, then by name."""
    seen = {tag for sentence in sentences for tag in sentence.tags} | {"O"}
    return list(TAGS) if seen <= set(TAGS) else sorted(seen, key=lambda tag: (tag != "O", tag[2:], tag))


def refuse_unseen(dataset: str, trained: set[int], others: dict[str, set[int]], names: Sequence[str]) -> None:
    """Stop if a split holds a class that no training text has.

    Raises:
        UserError: Which names the first such class.
    """
    for split, labels in others.items():
        for label in sorted(labels - trained):
            raise UserError(f"--dataset {dataset}: {split} holds label {names[label]}, which was not seen in training")
