"""Synthetic named entities with difficulty levels, and CoNLL files.

    python -m projects.adapters.ner --level 3 --out ner-3      writes train.conll, validation.conll, test.conll

Sentence patterns and names are divided into train, validation and test before a sentence is drawn: a test sentence has
neither a pattern nor a name (nor a word of one) from training, so that memorising does not help. Levels:

1. one-word names, each kind from a pool of its own
2. half of the names have two words ("Port Pendlow", "Rosa Quispe", "Kestrel Bank"), among capitalised other words
3. all kinds from one pool ("jordan" may be any of the four), lower case throughout: only the sentence tells them apart
   (an encoder without capitals, such as MiniLM, loses nothing by the lower case)
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from projects.adapters import lexicon
from shared.assets.records import read_lines
from shared.errors import UserError, command
from shared.files import write_text

KINDS = ("LOC", "ORG", "PER", "PROD")
TAGS = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI"))
LEVELS = (1, 2, 3)
SPACES = " \t"  # around the columns of a CoNLL file; a no-break space belongs to its word
SIZES = {"train": 1200, "validation": 300, "test": 600}
SHARES = {"train": 0.6, "validation": 0.15, "test": 0.25}  # of every pool of names and patterns


@dataclass(frozen=True)
class Sentence:
    """Words and their tags in IOB2: B- begins an entity, I- continues it, O is outside."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


def generate(level: int, split: str, *, count: int | None = None, seed: int = 0) -> list[Sentence]:
    """Sentences of one level and split; equal arguments give equal sentences.

    Args:
        level: 1, 2 or 3.
        split: train, validation or test.
        count: Number of sentences; by default that of SIZES.
        seed: Draws sentences; which names and patterns a split may use does not depend on it.

    Raises:
        UserError: If there is no such level or split.
    """
    if level not in LEVELS or split not in SIZES:
        raise UserError(f"ner: level {level}, split {split!r}; levels are 1 to 3, splits {', '.join(SIZES)}")
    draw = random.Random(f"{seed} {level} {split}")
    patterns = patterns_of(split)
    return [_sentence(draw.choice(patterns), level, split, draw) for _ in range(count or SIZES[split])]


def patterns_of(split: str) -> list[str]:
    """The sentence patterns of a split, divided by the kind of their first entity, so that no split lacks a kind."""
    groups = (tuple(t for t in lexicon.TEMPLATES if _first_kind(t) == kind) for kind in KINDS)
    return [pattern for group in groups for pattern in share_of(group, split)]


def _first_kind(pattern: str) -> str:
    return next(word[1:-1] for word in pattern.split() if word[1:-1] in KINDS)


@cache
def share_of(pool: tuple[str, ...], split: str) -> tuple[str, ...]:
    """The words or patterns of a pool that belong to a split; the three shares do not overlap and make up the pool."""
    order = list(pool)
    random.Random(len(order)).shuffle(order)
    first = round(len(order) * SHARES["train"])
    second = first + round(len(order) * SHARES["validation"])
    shares = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
    return tuple(shares[split])


def _sentence(pattern: str, level: int, split: str, draw: random.Random) -> Sentence:
    words: list[str] = []
    tags: list[str] = []
    for word in pattern.split():
        kind = word.strip("{}")
        if not word.startswith("{"):
            found, labels = [word], ["O"]
        elif kind in KINDS:
            found = _name(kind, level, split, draw)
            labels = [f"B-{kind}"] + [f"I-{kind}"] * (len(found) - 1)
        else:
            found, labels = [draw.choice(lexicon.DAYS if kind == "DAY" else lexicon.NATIONS)], ["O"]
        words += found
        tags += labels
    if level == 3:
        words = [word.lower() for word in words]
    return Sentence(tuple(words), tuple(tags))


def _name(kind: str, level: int, split: str, draw: random.Random) -> list[str]:
    """A name of one or two words, each from the split's share."""
    long = level > 1 and draw.random() < 0.5
    if level == 3:
        return draw.sample(share_of(lexicon.AMBIGUOUS, split), 2 if long else 1)
    pool = {"PER": lexicon.GIVEN, "LOC": lexicon.TOWNS, "ORG": lexicon.FIRMS, "PROD": lexicon.PRODUCTS}[kind]
    name = draw.choice(share_of(pool, split))
    if not long:
        return [name]
    beside = {
        "PER": lexicon.FAMILY,
        "LOC": lexicon.PLACE_FIRST,
        "ORG": lexicon.FIRM_LAST,
        "PROD": lexicon.PRODUCT_LAST,
    }[kind]
    other = draw.choice(share_of(beside, split))
    return [other, name] if kind == "LOC" else [name, other]


# ---------------------------------------------------------------- CoNLL files


def write_conll(path: Path, sentences: Sequence[Sentence]) -> None:
    """Write a word and its tag a line, a tab between them, an empty line after each sentence."""
    lines = ["".join(f"{w}\t{t}\n" for w, t in zip(s.words, s.tags, strict=True)) for s in sentences]
    write_text(path, "\n".join(lines))


def read_conll(path: Path) -> list[Sentence]:
    """Read sentences with the word first and the tag last on each line; other columns are passed over.

    Columns are divided at tabs, or in a line without a tab at ASCII spaces: of `New York<tab>B-LOC` and of `10 000 O`
    with a no-break space the word is all that stands before the tag. Lines end at LF, CRLF or CR and nowhere else.

    Raises:
        UserError: With file and line, if a line has no tag, the tag is not IOB2, or the file cannot be read.
    """
    lines = [line.rstrip("\r\n") for _, line in read_lines(path)]
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip(SPACES) and not line.startswith("-DOCSTART-"):
            word, tag = _columns(path, number, line, tags[-1] if tags else "O")
            words.append(word)
            tags.append(tag)
        elif words:
            sentences.append(Sentence(tuple(words), tuple(tags)))
            words, tags = [], []
    if not sentences:
        raise UserError(f"{path}: holds no sentence")
    return sentences


def _columns(path: Path, number: int, line: str, before: str) -> tuple[str, str]:
    filled = line.strip(SPACES)
    columns = [column.strip(SPACES) for column in filled.split("\t" if "\t" in filled else " ")]
    if len(columns) < 2:
        raise UserError(f"{path}, line {number}: {filled[:40]!r} has no tag; write word and tag")
    word, tag = columns[0], columns[-1]
    prefix, _, kind = tag.partition("-")
    if tag != "O" and (prefix not in ("B", "I") or not kind):
        raise UserError(f"{path}, line {number}: tag {tag!r} is not IOB2; use O, B-<kind> or I-<kind>")
    if prefix == "I" and before not in (f"B-{kind}", f"I-{kind}"):
        raise UserError(f"{path}, line {number}: {tag} follows {before}; in IOB2 an entity begins with B-{kind}")
    return word, tag


@dataclass(frozen=True, kw_only=True)
class NerConfig:
    """Write the synthetic sentences of one level as CoNLL files."""

    out: Path
    """Folder for train.conll, validation.conll and test.conll."""
    level: int = 2
    """Difficulty, 1 to 3."""
    seed: int = 0
    """Draws the sentences."""


def main(config: NerConfig) -> None:
    """Write the synthetic sentences of one level as CoNLL files."""
    sentences = {config.out / f"{split}.conll": generate(config.level, split, seed=config.seed) for split in SIZES}
    for path in sentences:
        if path.exists():
            raise UserError(f"{path} exists and is not overwritten: choose another --out")
    for path, each in sentences.items():
        write_conll(path, each)


if __name__ == "__main__":
    command(main, NerConfig)
