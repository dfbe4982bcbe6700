"""Tokenizers that are trained here: byte-level BPE for articles, and single characters for small experiments."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from shared.errors import UserError
from shared.files import write_text

Kind = Literal["bpe", "char"]
# Ids 0, 1, 2 in either kind; pad and end are two, so that ending is learned.
SPECIAL = PAD, END, MASK = "<pad>", "<end>", "<mask>"
FILE = "tokenizer.json"
_BYTES = 256  # a byte-level vocabulary holds every byte, so no text is unknown to it
SMALLEST = _BYTES + len(SPECIAL) + 1


@dataclass(frozen=True)
class CorpusTokenizer:
    """A tokenizer that was trained on a corpus: the `tokenizers` library's, with its kind and its special ids."""

    backend: Tokenizer
    kind: Kind

    def __len__(self) -> int:
        return self.backend.get_vocab_size()

    @property
    def pad_id(self) -> int:
        """Fills short chunks."""
        return SPECIAL.index(PAD)

    @property
    def end_id(self) -> int:
        """Stands before and behind every document."""
        return SPECIAL.index(END)

    @property
    def mask_id(self) -> int:
        """Hides a token."""
        return SPECIAL.index(MASK)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without special ones.

        Raises:
            UserError: If a character is unknown to a character vocabulary.
        """
        if self.kind == "char":
            known = self.backend.get_vocab()
            unknown = next((c for c in text if c not in known), None)
            if unknown is not None:
                raise UserError(f"the character {unknown!r} is not in the vocabulary; use --tokenizer bpe")
            return [known[character] for character in text]
        self.backend.encode_special_tokens = True  # "<end>" in an article is text
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text; special tokens are left out."""
        if self.kind == "char":
            return "".join(self.backend.id_to_token(i) or "" for i in ids if i >= len(SPECIAL))
        return self.backend.decode([i for i in ids if i >= len(SPECIAL)])

    def word_starts(self, ids: Iterable[int]) -> list[bool]:
        """Whether each token begins a word: special or behind one, with a space or line end in front, or no letter."""
        tokens = [self.backend.id_to_token(i) or PAD for i in ids]
        before = [END, *tokens[:-1]]
        return [
            token in SPECIAL or last in SPECIAL or token[0] in "ĠĊ \n" or not token[0].isalnum()
            for last, token in zip(before, tokens, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write tokenizer.json atomically."""
        saved = {"kind": self.kind, "tokenizer": json.loads(self.backend.to_str())}
        write_text(folder / FILE, json.dumps(saved, ensure_ascii=False, sort_keys=True))

    @classmethod
    def load(cls, folder: Path) -> "CorpusTokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: If it is missing or damaged.
        """
        path = folder / FILE
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            return cls(Tokenizer.from_str(json.dumps(saved["tokenizer"])), saved["kind"])
        except FileNotFoundError:
            raise UserError(f"{path} is not there: clean a corpus first") from None
        except Exception as error:  # the library raises bare Exception for a file that is no tokenizer
            raise UserError(f"{path}: no tokenizer ({str(error).splitlines()[0][:80]})") from None


def train_tokenizer(texts: Iterator[str], kind: Kind, vocab_size: int) -> CorpusTokenizer:
    """Train a tokenizer.

    Args:
        texts: Consumed once; those of the training split alone.
        kind: "bpe" merges frequent pairs of bytes (Sennrich et al. 2016; bytes as in Radford et al. 2019, §2.2);
            "char" takes every character that occurs.
        vocab_size: Tokens of a BPE vocabulary, special ones included.

    Raises:
        UserError: If the size cannot hold the bytes, or there is no text.
    """
    if kind == "char":
        characters = sorted({character for text in texts for character in text})
        if not characters:
            raise UserError("no text to learn a vocabulary from")
        names = {name: number for number, name in enumerate((*SPECIAL, *characters))}
        return CorpusTokenizer(Tokenizer(models.WordLevel(names, unk_token=PAD)), kind)
    if vocab_size < SMALLEST:
        raise UserError(f"--vocabulary {vocab_size}: at least {SMALLEST}, bytes and special tokens included")
    return CorpusTokenizer(_train_bpe(texts, vocab_size), kind)


def _train_bpe(texts: Iterator[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def describe_tokenizer(tokenizer: CorpusTokenizer, held_out: Iterable[str]) -> dict[str, Any]:
    """The tokenizer's report: how long held-out texts become, and how much of the vocabulary they use."""
    tokens = size = words = 0
    used: set[int] = set()
    for text in held_out:
        ids = tokenizer.encode(text)
        tokens += len(ids)
        size += len(text.encode())
        words += len(text.split())
        used.update(ids)
    return {
        "kind": tokenizer.kind,
        "vocabulary": len(tokenizer),
        "bytes_per_token": round(size / tokens, 4) if tokens else 0.0,
        "tokens_per_word": round(tokens / words, 4) if words else 0.0,
        "used_on_held_out": len(used),
    }
