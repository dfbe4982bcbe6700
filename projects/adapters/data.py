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

from projects.adapters.config import DataConfig
from projects.adapters.ner import LEVELS, SIZES, TAGS, Sentence, generate, read_conll
from shared import batching
from shared.assets import load_dataset
from shared.errors import UserError
from shared.fingerprint.origin import data_digest
from shared.seeding import generator

IGNORE_INDEX = -100  # the label that the loss passes over: special tokens, continuation pieces, padding
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
        labels: Class of each text, or of each of its tokens (IGNORE_INDEX where no word begins).
        pad_id: Fills a batch's short rows; the mask hides it.
    """

    texts: list[str]
    tokens: list[list[int]]
    labels: list[int] | list[list[int]]
    pad_id: int

    def __len__(self) -> int:
        return len(self.tokens)

    def first(self, count: int) -> "Texts":
        """The first rows of the split, whose order is fixed."""
        return Texts(self.texts[:count], self.tokens[:count], self.labels[:count], self.pad_id)

    def batch(self, rows: list[int]) -> Batch:
        """These rows, padded to the longest of them."""
        tokens = [self.tokens[row] for row in rows]
        labels = [self.labels[row] for row in rows]
        longest = max(map(len, tokens))
        ids = torch.tensor([row + [self.pad_id] * (longest - len(row)) for row in tokens])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in tokens])
        filled = [row + [IGNORE_INDEX] * (longest - len(row)) if isinstance(row, list) else row for row in labels]
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
        """Digest of every text and label of the three splits: what a run's fingerprint says of its data."""
        splits = (self.train, self.validation, self.test)
        return data_digest(self.classes, *(part for split in splits for part in (split.texts, split.labels)))


def load_corpus(config: DataConfig, tokenizer: PreTrainedTokenizerFast) -> Corpus:
    """Read and tokenise the three splits of a dataset.

    Raises:
        UserError: As `shared.assets.load_dataset` and `ner.read_conll`, or if the other splits hold a label that
            training does not.
    """
    sentences = read_sentences(config.dataset)
    if sentences is not None:
        sentences["train"] = sentences["train"][: config.limit]
        tags = tags_of(sentences["train"])
        tagged = {name: tag_split(sentences[name], tags, tokenizer, config.max_length, name) for name in SPLITS}
        return Corpus(**tagged, classes=tags, tagging=True)
    splits = {**load_dataset(config.dataset, text_column=config.text_column, label_column=config.label_column)}
    names = splits["train"].features["label"].names
    if config.limit is not None:
        splits["train"] = splits["train"].select(range(min(config.limit, len(splits["train"]))))
    refuse_unseen(config.dataset, {split: set(splits[split]["label"]) for split in SPLITS}, names)
    labelled = {name: label_split(splits[name], tokenizer, config.max_length) for name in SPLITS}
    return Corpus(**labelled, classes=names, tagging=False)


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


def label_split(split: Dataset, tokenizer: PreTrainedTokenizerFast, max_length: int) -> Texts:
    """Tokenise a split whose texts have one class each."""
    texts = list(split["text"])
    tokens = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    return Texts(texts, tokens, list(split["label"]), tokenizer.pad_token_id)


def tag_split(
    sentences: Sequence[Sentence],
    classes: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    where: str,
) -> Texts:
    """Cut sentences into pieces: the first piece of a word has its tag, all others IGNORE_INDEX.

    Args:
        classes: The tags of training; their places are the labels.
        max_length: Pieces of a text; the words beyond are cut.
        where: Named in the error.

    Raises:
        UserError: If a tag is not among the classes.
    """
    label = {tag: index for index, tag in enumerate(classes)}
    for number, sentence in enumerate(sentences, start=1):
        for tag in sentence.tags:
            if tag not in label:
                known = ", ".join(label)
                raise UserError(f"{where}, sentence {number}: label {tag} was not seen in training ({known})")
    words = [list(sentence.words) for sentence in sentences]
    pieces = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    labels = [first_pieces(pieces.word_ids(i), [label[tag] for tag in s.tags]) for i, s in enumerate(sentences)]
    return Texts([" ".join(row) for row in words], pieces["input_ids"], labels, tokenizer.pad_token_id)


def first_pieces(word_ids: Sequence[int | None], labels: Sequence[int]) -> list[int]:
    """The label of a word for its first piece, IGNORE_INDEX for every other piece.

    >>> first_pieces([None, 0, 0, 1, None], [5, 7])
    [-100, 5, -100, 7, -100]
    """
    before = [None, *word_ids[:-1]]
    return [
        IGNORE_INDEX if word is None or word == last else labels[word]
        for word, last in zip(word_ids, before, strict=True)
    ]


def tags_of(sentences: Sequence[Sentence]) -> list[str]:
    """The tags that occur, in the order of the generator's own where they are its own, else O first, then by name."""
    seen = {tag for sentence in sentences for tag in sentence.tags} | {"O"}
    return list(TAGS) if seen <= set(TAGS) else sorted(seen, key=lambda tag: (tag != "O", tag[2:], tag))


def refuse_unseen(dataset: str, labels: dict[str, set[int]], names: Sequence[str]) -> None:
    """Stop if a split holds a class that no training text has.

    Raises:
        UserError: Which names the first such class.
    """
    for split in SPLITS[1:]:
        for label in sorted(labels[split] - labels["train"]):
            raise UserError(f"--dataset {dataset}: {split} holds label {names[label]}, which was not seen in training")
