"""One door to every data set that `--dataset` may name: embedded, a file, or the hub."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shared.assets.corpora import film_reviews, movie_reviews, product_reviews, trec
from shared.assets.film_pages import film_articles
from shared.assets.models import HUB_SECONDS
from shared.assets.news_articles import news
from shared.assets.splits import FRACTIONS, Row, distinct, divide, linked, to_dataset
from shared.assets.tables import SUFFIXES, read_table, require_columns, spelled
from shared.assets.text import near_duplicates, text_key
from shared.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

NAMES = {
    "film_articles": film_articles,
    "film_reviews": film_reviews,
    "movie_reviews": movie_reviews,
    "news": news,
    "product_reviews": product_reviews,
    "trec": trec,
}
"""Embedded name → the function that reads it."""

FEWEST_GROUPS = 10
"""With fewer groups some split would be empty."""

similar_texts = partial(near_duplicates, size=3, threshold=0.6)


def load_dataset(name: str, *, text_column: str = "text", label_column: str = "label") -> DatasetDict:
    """Splits train, validation and test of whatever `--dataset` names, with columns `text` and `label` (a ClassLabel).

    An embedded set keeps its other columns. A file (.csv or .tsv with a header, .jsonl, or .json with a list of
    objects; UTF-8) gives text, label and group: labels become classes in alphabetical order, of the copies of a text
    one is kept (none where they disagree on the label), near duplicates share a group, joined with the file's own
    `group` column if it has one, and the groups are divided 0.75, 0.10, 0.15. A hub set ("owner/name", or
    "owner/name:configuration") keeps its own validation and test; where one is missing it is cut from train, and train
    loses the texts that the others hold too.

    Args:
        name: An embedded name (NAMES), a path, or a hub id.
        text_column: The column that becomes `text`.
        label_column: The column that becomes `label`. Rows without a label ("" or −1) are left out.

    Raises:
        UserError: One line that says what is wrong with the name or the data, where, and what to do.
    """
    if name in NAMES:
        return _classified(name, NAMES[name](), text_column, label_column)
    if Path(name).suffix.lower() in SUFFIXES:
        path = Path(name).expanduser()
        return _cut(name, read_table(path, text_column, label_column), FRACTIONS)
    return _from_hub(name, text_column, label_column)


def _from_hub(name: str, text_column: str, label_column: str) -> DatasetDict:
    from datasets import DatasetDict

    raw = _fetched(name)
    if "train" not in raw:
        raise UserError(f"--dataset {name}: no split called train; its splits are {', '.join(raw)}")
    splits = {split: raw[split] for split in FRACTIONS if split in raw}
    data = _classified(name, splits, text_column, label_column)
    kept = {split: part for split, part in data.items() if part.num_rows}  # a test without labels is no test
    names = data["train"].features["label"].names
    held_out = {text_key(text) for split, part in kept.items() if split != "train" for text in part["text"]}
    rows = [row for row in _named(kept["train"], names) if text_key(row["text"]) not in held_out]
    missing = {split: share for split, share in FRACTIONS.items() if split not in kept}
    fresh = _cut(name, rows, {"train": 1 - sum(missing.values())} | missing, names)
    for split, part in kept.items():
        if split != "train":
            own = [linked([row], similar_texts)[0] for row in _named(part, names)]
            fresh[split] = to_dataset(own, fresh["train"].features)
    return DatasetDict({split: fresh[split] for split in FRACTIONS})


def _named(data: Dataset, names: Sequence[str]) -> list[Row]:
    """Text and label, spelled out, of each row."""
    return [{"text": row["text"], "label": names[row["label"]]} for row in data.select_columns(["text", "label"])]


def _fetched(name: str) -> Mapping[str, Dataset]:
    """What the hub, or its local cache, holds under the name."""
    near = get_close_matches(name, NAMES, n=1)
    hint = f"(did you mean {near[0]}?) " if near else ""
    message = (
        f"--dataset {name}: neither embedded {hint}nor a {'/'.join(SUFFIXES)} file, nor given by the hub; "
        f"use one of {', '.join(NAMES)}, a file, or a hub id with HF_HUB_OFFLINE=0"
    )
    if near and "/" not in name:
        raise UserError(message)
    from datasets import load_dataset as from_hub
    from huggingface_hub import HfApi, is_offline_mode

    identity, _, configuration = name.partition(":")
    try:
        if not is_offline_mode():  # one question first: loading from a hub out of reach would retry for 20 s, aloud
            HfApi().dataset_info(identity, timeout=HUB_SECONDS)
        return from_hub(identity, configuration or None)
    # Not found, not reachable, not allowed, or a set that needs a configuration: the library and the HTTP client
    # under it raise a dozen types for these.
    except Exception as error:  # they have no common root below it
        if isinstance(error, ValueError) and "Config name is missing" in str(error):
            choices = " ".join(str(error).split("\n")[1:2]).removeprefix(
                "Please pick one among the available configs: "
            )
            raise UserError(f"--dataset {name}: say which configuration, as {identity}:NAME; {choices}") from None
        raise UserError(message) from None


def _classified(name: str, splits: Mapping[str, Dataset], text_column: str, label_column: str) -> DatasetDict:
    """The splits with text and label renamed, rows without a label left out, and the label typed as classes.

    A column that bears one of the two names without having been chosen gives way.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features

    some = splits["train"]
    require_columns(name, some.column_names, text_column, label_column)
    labels = {split: _spelled(name, data, label_column) for split, data in splits.items()}
    kind = some.features[label_column]
    seen = {label for column in labels.values() for label in column if label}
    names = list(kind.names) if isinstance(kind, ClassLabel) else sorted(seen)
    _require_two_classes(name, seen)
    ready = {}
    for split, data in splits.items():
        kept = [position for position, label in enumerate(labels[split]) if label]
        column = [names.index(labels[split][position]) for position in kept]
        dropped = ({"text", "label"} & set(data.column_names) | {label_column}) - {text_column}
        part = data.select(kept).remove_columns(sorted(dropped))
        part = part if text_column == "text" else part.rename_column(text_column, "text")
        # Not add_column: after a selection it draws a bar of its own.
        features = Features({**part.features, "label": ClassLabel(names=names)})
        ready[split] = Dataset.from_dict({**part[:], "label": column}, features=features)
    return DatasetDict(ready)


def _spelled(name: str, data: Dataset, label_column: str) -> list[str]:
    """The labels as strings; "" where a row has none.

    Raises:
        UserError: If the column holds something that does not name classes, such as fractions or lists.
    """
    from datasets import ClassLabel

    kind = data.features[label_column]
    values = data[:][label_column]
    if isinstance(kind, ClassLabel):
        return [kind.names[value] if value is not None and value >= 0 else "" for value in values]
    if not all(isinstance(value, str | bool | int) or not spelled(value) for value in values):
        raise UserError(f"--dataset {name}: the column '{label_column}' holds no classes but {kind}")
    return [str(value).strip() if spelled(value) else "" for value in values]


def _cut(
    name: str, rows: Sequence[Row], fractions: Mapping[str, float], names: Sequence[str] | None = None
) -> DatasetDict:
    """Deduplicated, grouped and divided rows; `names` fixes the order of the classes."""
    from datasets import ClassLabel, Features, Value

    kept = distinct(rows, label="label")
    if len(kept) < len(rows):
        sys.stderr.write(f"--dataset {name}: {len(rows) - len(kept)} of {len(rows)} rows are copies and are left out\n")
    rows = linked(kept, similar_texts)
    classes = {row["label"] for row in rows}
    _require_two_classes(name, classes)
    groups = len({row["group"] for row in rows})
    if groups < FEWEST_GROUPS:
        raise UserError(f"--dataset {name}: {groups} different texts or groups, but three splits take {FEWEST_GROUPS}")
    features = Features(
        text=Value("string"), label=ClassLabel(names=list(names or sorted(classes))), group=Value("string")
    )
    return divide(rows, features, label="label", fractions=fractions)


def _require_two_classes(name: str, classes: set[str]) -> None:
    if len(classes) < 2:
        held = f"only '{next(iter(classes))}'" if classes else "nothing"
        raise UserError(f"--dataset {name}: the label column holds {held}; classification takes two classes or more")
