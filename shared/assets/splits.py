"""Division of a corpus into train, validation and test by groups: the same rows give the same splits everywhere."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.assets.text import split_key, text_key

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, Features

Row = dict[str, Any]

FRACTIONS = {"train": 0.75, "validation": 0.10, "test": 0.15}
"""Share of the groups, not of the rows, that each split gets."""


def distinct(rows: Iterable[Row], *, label: str | None = None, text: str = "text") -> list[Row]:
    """The first row of each text key, in order; where copies of a text disagree on its label, none of them.

    Args:
        rows: With a `text` column.
        label: The column that must agree; None keeps the first whatever it says.
        text: The column that is compared.
    """
    copies: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        copies[text_key(row[text])].append(row)
    return [same[0] for same in copies.values() if label is None or len({row[label] for row in same}) == 1]


def assign(groups: Sequence[str], strata: Sequence[str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Which split each group goes to.

    Groups of a stratum stand together, shuffled by a digest of their names, and each in turn goes to the split that
    lags furthest behind its share. Shares are thus met to within about one group overall and in each stratum.

    Args:
        groups: Names, repeated where rows share a group.
        strata: One a row: the label, or one constant. A group belongs to the stratum of its first row.
        fractions: Split → share; their sum is 1.
    """
    stratum: dict[str, str] = {}
    for group, value in zip(groups, strata, strict=True):
        stratum.setdefault(group, value)
    split: dict[str, str] = {}
    lag = dict.fromkeys(fractions, 0.0)
    for group in sorted(stratum, key=lambda name: (stratum[name], shuffled(name))):
        lag = {name: behind + fractions[name] for name, behind in lag.items()}
        # Rounded so that a tie is a tie: it goes to the first split, not to the last bit of a sum.
        split[group] = max(lag, key=lambda name: round(lag[name], 9))
        lag[split[group]] -= 1
    return split


def shuffled(name: str) -> str:
    """A sort key in an order that has nothing to do with the names and is the same in every process."""
    return hashlib.sha256(name.encode()).hexdigest()


def divide(
    rows: Sequence[Row], features: Features, *, label: str | None = None, fractions: Mapping[str, float] = FRACTIONS
) -> DatasetDict:
    """Splits of rows that carry a `group`: no group is in two of them.

    Inside a split the groups are shuffled, so that its first rows hold every class, and the rows of a group keep their
    order.

    Args:
        rows: Labels as names or numbers; all columns of `features`.
        features: Types of the columns, in the order in which they are to appear.
        label: The column whose values should be spread evenly over the splits; None where a group has many labels.
        fractions: Split → share of the groups.
    """
    from datasets import DatasetDict

    strata = [str(row[label]) if label else "" for row in rows]
    split = assign([row["group"] for row in rows], strata, fractions)
    parts: dict[str, list[Row]] = {name: [] for name in fractions}
    for row in sorted(rows, key=lambda row: shuffled(row["group"])):
        parts[split[row["group"]]].append(row)
    return DatasetDict({name: to_dataset(part, features) for name, part in parts.items()})


def to_dataset(rows: Sequence[Row], features: Features) -> Dataset:
    """Rows as a typed table; names of classes become their numbers."""
    from datasets import Dataset

    return Dataset.from_dict({column: [row[column] for row in rows] for column in features}, features=features)


def with_groups(rows: Sequence[Row], group_of: Callable[[Sequence[str]], list[int]]) -> list[Row]:
    """Rows with a `group` column: the digest of the group's first text, so that it does not move when rows are added.

    Args:
        rows: With a `text` column.
        group_of: From all texts to the position of the first text of each one's group (`text.near_duplicates`).
    """
    texts = [row["text"] for row in rows]
    names = [hashlib.sha256(split_key(text).encode()).hexdigest()[:16] for text in texts]
    return [{**row, "group": names[first]} for row, first in zip(rows, group_of(texts), strict=True)]


def linked(rows: Sequence[Row], group_of: Callable[[Sequence[str]], list[int]]) -> list[Row]:
    """As `with_groups`, but rows that came with a `group` of their own also stay with that group's other rows."""
    near = with_groups([{**row, "group": None} for row in rows], group_of)
    tags = [
        (new["group"], f"own group {old['group']}") if "group" in old else (new["group"],)
        for old, new in zip(rows, near, strict=True)
    ]
    return [{**row, "group": name} for row, name in zip(rows, joined(tags), strict=True)]


def joined(tags: Sequence[Sequence[str]]) -> list[str]:
    """For each row the first tag of its component; rows that share a tag, directly or in a chain, form one.

    >>> joined([("a", "x"), ("b",), ("c", "x"), ("c", "y")])
    ['a', 'b', 'a', 'a']
    """
    parent: dict[str, str] = {}
    age: dict[str, int] = {}

    def root(tag: str) -> str:
        age.setdefault(tag, len(age))
        while parent.setdefault(tag, tag) != tag:
            tag = parent[tag]
        return tag

    for row in tags:
        roots = {root(tag) for tag in row}
        oldest = min(roots, key=age.__getitem__)
        parent.update(dict.fromkeys(roots, oldest))
    return [root(row[0]) for row in tags]
