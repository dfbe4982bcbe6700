"""Pairs of continuations and which of the two is preferred: how they are made, balanced, written and read.

Prompts are the first words of film reviews; SmolLM2 continues each twice; the hidden judge prefers one, with noise.
"""

import csv
import io
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from shared.assets.records import read_records
from shared.errors import UserError
from shared.files import write_text

Split = Literal["train", "validation", "test"]
MOST_BYTES = 50_000_000  # a file beyond is refused unread
MOST_ONE_SIDED = 0.9  # a file in which one side wins more often says more of the side than of the texts


@dataclass(frozen=True, kw_only=True)
class Preference:
    """One comparison.

    Attributes:
        split: The split of the review that the prompt opens: no prompt is in two.
        prompt: First words of a review.
        a: A continuation, as is `b`; their order is that of sampling, so it means nothing.
        gold_a: Gold reward of `a`, as `gold_b` of `b`; kept for analysis, never shown to the reward model.
    """

    split: Split
    prompt: str
    a: str
    b: str
    preferred: Literal["a", "b"]
    gold_a: float
    gold_b: float

    @property
    def chosen(self) -> str:
        """The preferred text, prompt included."""
        return self.prompt + (self.a if self.preferred == "a" else self.b)

    @property
    def rejected(self) -> str:
        """The other text, prompt included."""
        return self.prompt + (self.b if self.preferred == "a" else self.a)

    @property
    def against_gold(self) -> bool:
        """Whether noise turned the judge's opinion round."""
        return (self.preferred == "a") != (self.gold_a > self.gold_b)


def openings(texts: Sequence[str], words: int) -> list[str]:
    """The first words of each text that has at least twice as many; each opening once."""
    found = [" ".join(text.split()[:words]) for text in texts if len(text.split()) >= 2 * words]
    return list(dict.fromkeys(found))


def prefer(gold_a: float, gold_b: float, *, noise: float, draw: random.Random) -> Literal["a", "b"]:
    """The better one with probability σ((gold_a − gold_b) / noise); always, if there is no noise.

    Source: Bradley and Terry 1952: the very model that the reward model assumes.
    """
    if noise == 0:
        return "a" if gold_a > gold_b else "b"
    return "a" if draw.random() < 1 / (1 + math.exp(-(gold_a - gold_b) / noise)) else "b"


def words_longer(pair: Preference) -> int:
    """By how many words the preferred text is longer."""
    return len(pair.chosen.split()) - len(pair.rejected.split())


def balance_lengths(pairs: Sequence[Preference], draw: random.Random) -> list[Preference]:
    """Leave out pairs until the longer text is preferred as often as the shorter one, by each difference of words.

    What is left cannot teach that longer is better. Pairs of equal length all stay.
    """
    sides: dict[int, dict[bool, list[int]]] = {}
    for row, pair in enumerate(pairs):
        difference = words_longer(pair)
        sides.setdefault(abs(difference), {True: [], False: []})[difference > 0].append(row)
    kept: list[int] = []
    for difference, rows in sides.items():
        fewest = len(pairs) if difference == 0 else min(len(rows[True]), len(rows[False]))
        for side in rows.values():
            kept += draw.sample(side, min(fewest, len(side)))
    return [pairs[row] for row in sorted(kept)]


# ---------------------------------------------------------------- files


def write_preferences(directory: Path, pairs: Sequence[Preference], name: str = "preferences") -> None:
    """<name>.jsonl and <name>.csv, the same rows in both."""
    rows = [asdict(pair) for pair in pairs]
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(directory / f"{name}.jsonl", "".join(f"{line}\n" for line in lines))
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Preference)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(directory / f"{name}.csv", text.getvalue())


def read_preferences(path: Path) -> list[Preference]:
    """Pairs of a .jsonl or .csv file.

    Raises:
        UserError: If the file is missing, too large, empty, not UTF-8 or one-sided, or a line is no comparison of two
            different texts: with its number.
    """
    if not path.is_file():
        raise UserError(f"{path} is not there: make the preferences first")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path}: larger than {MOST_BYTES // 1_000_000} MB")
    pairs = [_parse(f"{path}, {place}", row) for place, row in read_records(path)]
    if not pairs:
        raise UserError(f"{path}: holds no preference")
    share = sum(pair.preferred == "a" for pair in pairs) / len(pairs)
    if len(pairs) >= 20 and not 1 - MOST_ONE_SIDED <= share <= MOST_ONE_SIDED:
        raise UserError(f"{path}: unbalanced, a is preferred in {share:.0%} of the pairs; shuffle the two sides")
    return pairs


def _parse(place: str, row: dict[str, Any]) -> Preference:
    """A checked record."""
    names = [f.name for f in fields(Preference)]
    missing = [name for name in names if row.get(name) is None]
    if missing:
        raise UserError(f"{place}: lacks {', '.join(missing)}")
    if row["split"] not in get_args(Split):
        raise UserError(f"{place}: split is {row['split']!r}, not one of {', '.join(get_args(Split))}")
    if row["preferred"] not in ("a", "b"):
        raise UserError(f"{place}: preferred is {row['preferred']!r}, not a or b")
    for name in ("prompt", "a", "b"):
        if not isinstance(row[name], str):
            raise UserError(f"{place}: {name} is no text")
    if row["a"] == row["b"]:
        raise UserError(f"{place}: a and b are equal; there is nothing to prefer")
    try:
        golds = {name: float(row[name]) for name in ("gold_a", "gold_b")}
    except (TypeError, ValueError, OverflowError):
        golds = {"gold_a": math.nan, "gold_b": math.nan}
    if not all(map(math.isfinite, golds.values())):
        raise UserError(f"{place}: gold_a and gold_b must be finite numbers")
    return Preference(**{name: golds.get(name, row[name]) for name in names})


def of_split(pairs: Sequence[Preference], split: Split) -> list[Preference]:
    """The pairs of one split."""
    return [pair for pair in pairs if pair.split == split]


def swapped(pair: Preference) -> Preference:
    """The same comparison with the sides exchanged."""
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        preferred="b" if pair.preferred == "a" else "a",
        gold_a=pair.gold_b,
        gold_b=pair.gold_a,
    )
