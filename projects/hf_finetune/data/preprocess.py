"""From raw reviews to tokenised splits: clean, drop copies, divide by review, tokenise, and report all of it.

    python -m projects.hf_finetune.data.preprocess
    python -m projects.hf_finetune.data.preprocess --dataset my.csv --scores --out build/mine

Copies and near copies are dropped before the split, so that no sentence of a test review was seen in training, and a
review is never divided, since its sentences share author, product and mood.
"""

import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars
from transformers import PreTrainedTokenizerFast

from projects.hf_finetune.config import DataConfig
from projects.hf_finetune.data.cleaning import clean
from projects.hf_finetune.data.sources import Row, read_rows
from projects.hf_finetune.training.models import load_tokenizer
from shared.assets.corpora import similar_sentences
from shared.assets.splits import FRACTIONS, assign, shuffled, to_dataset
from shared.assets.text import text_key
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint.origin import data_digest
from shared.progress import table

EXAMPLES = 3  # texts that the report shows of each reason for dropping
FEWEST_GROUPS = 10  # with fewer some split would be empty

Dropped = dict[str, list[str]]  # reason → the texts


@dataclass(frozen=True)
class PreparedData:
    """Tokenised splits and what is known of them.

    Attributes:
        splits: train, validation and test with text, group, labels, input_ids and attention_mask.
        classes: Names of the labels, in order.
        report: JSON values: lengths, classes, what was dropped and why.
        digest: Digest of every text and label, for the run's fingerprint.
    """

    splits: dict[str, Dataset]
    classes: list[str]
    report: dict[str, Any]
    digest: str


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig(DataConfig):
    """Clean, split and tokenise a dataset, and print what was found in it."""

    out: Path | None = None
    """Folder for data.json, the report as JSON; by default it is only printed."""


def main(config: PreprocessConfig) -> dict[str, Any]:
    """Clean, split and tokenise a dataset, and print what was found in it."""
    if config.out is not None:
        refuse_unwritable(config.out)
    prepared = prepare(config, load_tokenizer(config.model, max_length=config.max_length))
    show(prepared.report)
    if config.out is not None:
        write_json(config.out / "data.json", prepared.report)
    return prepared.report


def prepare(config: DataConfig, tokenizer: PreTrainedTokenizerFast) -> PreparedData:
    """Read, clean, split and tokenise a dataset.

    Raises:
        UserError: If the data cannot be read, or hold fewer than two classes or ten groups.
    """
    disable_progress_bars()
    rows, classes = read_rows(config)
    kept, dropped = without_copies([{**row, "text": clean(row["text"])} for row in rows])
    require_enough(config.dataset, kept)
    parts = split_by_group(kept)
    parts["train"] = subsample(parts["train"], config.limit)
    for name in ("validation", "test"):  # short texts together: evaluation pads less, and its order does not matter
        parts[name].sort(key=lambda row: len(row["text"]))
    splits = {name: tokenise(part, classes, tokenizer) for name, part in parts.items()}
    report = {
        "dataset": Path(config.dataset).name,
        "read": len(rows),
        "changed_by_cleaning": sum(clean(row["text"]) != row["text"] for row in rows),
        "dropped": {why: {"count": len(texts), "examples": texts[:EXAMPLES]} for why, texts in dropped.items()},
        "kept": len(kept),
        "splits": {name: split_report(split, classes, config.max_length) for name, split in splits.items()},
    }
    digest = data_digest(classes, *(column for s in splits.values() for column in (s["text"], s["labels"])))
    return PreparedData(splits, classes, report, digest)


def without_copies(rows: list[Row]) -> tuple[list[Row], Dropped]:
    """The rows that stay, and the texts of those that do not, by reason.

    Order matters: texts without a word go first, then copies (all of them where they disagree on the label, since
    neither label can be trusted), then near copies, of which the first stays. Where a set comes divided, the copy in a
    later split stays, so that the test keeps its rows and training loses them.
    """
    order = {"test": 0, "validation": 1, "train": 2}
    rows = sorted(rows, key=lambda row: order.get(row.get("split", ""), 0))
    dropped: Dropped = {"no word in it": [], "copies that disagree": [], "copy": [], "near copy": []}
    copies: dict[str, list[Row]] = {}
    for row in rows:
        if any(character.isalnum() for character in row["text"]):
            copies.setdefault(text_key(row["text"]), []).append(row)
        else:
            dropped["no word in it"].append(row["text"])
    firsts = []
    for same in copies.values():
        agree = len({row["label"] for row in same}) == 1
        dropped["copy" if agree else "copies that disagree"] += [row["text"] for row in same[1 if agree else 0 :]]
        firsts += same[:1] if agree else []
    leaders = similar_sentences([row["text"] for row in firsts])
    dropped["near copy"] = [firsts[i]["text"] for i, leader in enumerate(leaders) if leader != i]
    return [row for i, row in enumerate(firsts) if leaders[i] == i], dropped


def require_enough(dataset: str, rows: list[Row]) -> None:
    """Raise a UserError unless there are two classes and enough groups to split."""
    present = sorted({row["label"] for row in rows})
    if len(present) < 2:
        held = f"only '{present[0]}'" if present else "nothing"
        raise UserError(f"--dataset {dataset}: the label column holds {held}; classification takes two classes or more")
    groups = len({group_of(row) for row in rows})
    if groups < FEWEST_GROUPS:
        raise UserError(f"--dataset {dataset}: {groups} different texts or groups, but three splits take 10")


def group_of(row: Row) -> str:
    """What must not be divided: the row's own group (a review), or its text."""
    return str(row.get("group") or text_key(row["text"]))


def split_by_group(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by split, in a fixed order: the dataset's own split, or one that divides no group."""
    rows = [{**row, "group": group_of(row)} for row in rows]
    rows.sort(key=lambda row: shuffled(row["group"]))
    if all("split" in row for row in rows):
        return {name: [row for row in rows if row["split"] == name] for name in FRACTIONS}
    one_label = len({row["group"] for row in rows}) == len(rows)
    strata = [row["label"] if one_label else "" for row in rows]
    split = assign([row["group"] for row in rows], strata, FRACTIONS)
    return {name: [row for row in rows if split[row["group"]] == name] for name in FRACTIONS}


def subsample(rows: list[Row], limit: int | None) -> list[Row]:
    """At most `limit` rows, drawn by a digest of their texts: from all reviews, and the same whatever the seed."""
    chosen = sorted(rows, key=lambda row: shuffled(row["text"]))[:limit]
    kept = {id(row) for row in chosen}
    return [row for row in rows if id(row) in kept]


def tokenise(rows: list[Row], classes: list[str], tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """A typed table with token ids, cut at the tokenizer's limit; padding is left to each batch."""
    features = Features(text=Value("string"), group=Value("string"), label=ClassLabel(names=classes))
    data = to_dataset(rows, features).rename_column("label", "labels")
    # A name of our own for the result: the library would pickle the whole vocabulary to find one, which takes seconds.
    told = {"batched": True, "keep_in_memory": True, "new_fingerprint": f"{data._fingerprint}-tokens"}
    return data.map(lambda batch: tokenizer(batch["text"], truncation=True), **told)


def split_report(split: Dataset, classes: list[str], max_length: int) -> dict[str, Any]:
    """Count rows, groups and classes of a split, and the lengths of its texts in tokens (after cutting)."""
    lengths = sorted(len(ids) for ids in split["input_ids"]) or [0]
    counts = Counter(split["labels"])
    return {
        "sentences": len(split),
        "groups": len(set(split["group"])),
        "classes": {name: counts[index] for index, name in enumerate(classes)},
        "tokens": {
            "median": int(statistics.median(lengths)),
            "95 %": lengths[int(0.95 * (len(lengths) - 1))],
            "longest": lengths[-1],
        },
        "cut": sum(length >= max_length for length in lengths),
    }


def show(report: dict[str, Any]) -> None:
    """Print the report as two tables."""
    rows = []
    for name, part in report["splits"].items():
        tokens = part["tokens"]
        classes = ", ".join(f"{name} {count}" for name, count in part["classes"].items())
        lengths = f"{tokens['median']}, {tokens['95 %']}, {tokens['longest']}"
        rows.append((name, part["sentences"], part["groups"], classes, lengths, part["cut"]))
    columns = ["split", "sentences", "groups", "classes", "tokens: median, 95 %, longest", "cut"]
    table(f"{report['dataset']}: {report['read']} read, {report['kept']} kept", columns, rows)
    gone = [(why, d["count"], d["examples"][0][:60] if d["examples"] else "") for why, d in report["dropped"].items()]
    gone.append(("changed by cleaning, kept", report["changed_by_cleaning"], ""))
    table("Dropped, and why", ["reason", "sentences", "for example"], gone)


if __name__ == "__main__":
    command(main, PreprocessConfig)
