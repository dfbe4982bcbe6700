"""Classify texts from standard input, a line each, with `pipeline("text-classification")`.

    echo "gorgeous screen, dead in a week" | python -m projects.hf_finetune.predict --run runs/hf_finetune/mine
    python -m projects.hf_finetune.predict --run runs/hf_finetune/mine < reviews.txt | cut -f1 | sort | uniq -c

Writes class, probability and text, separated by tabs; lines without text are passed over.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path
from typing import cast

from transformers import Pipeline, pipeline

from projects.hf_finetune.data.cleaning import clean
from projects.hf_finetune.evaluation.eval import run_config
from projects.hf_finetune.training.models import load_trained
from shared import devices
from shared.assets.quiet import quiet
from shared.assets.records import LONGEST_LINE
from shared.errors import UserError, command
from shared.runs import open_checkpoint

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Classify texts from standard input, a line each."""

    run: Path
    """Directory of a finished run of train."""


@dataclass(frozen=True)
class Prediction:
    """A text's likeliest class and its probability, 0 to 1."""

    text: str
    label: str
    probability: float


def main(config: PredictConfig) -> None:
    """Classify texts from standard input, a line each."""
    devices.use_all_cores()
    texts = lines_of(cast(BufferedIOBase, sys.stdin.buffer))
    first = next(texts, None)
    if first is None:
        raise UserError("standard input holds no text: give one sentence a line, as in `echo ... | python -m ...`")
    classifier = load_pipeline(config.run)
    for found in classify(classifier, chain([first], texts)):
        sys.stdout.write(f"{found.label}\t{found.probability:.4f}\t{found.text}\n")
        sys.stdout.flush()


def load_pipeline(run: Path) -> Pipeline:
    """The library's pipeline over a run's verified model.

    Raises:
        UserError: If the run has no model, or it changed since it was saved.
    """
    folder = run / "model"
    if not folder.is_dir():
        raise UserError(f"{folder} is not there: give the directory of a finished run of this project")
    open_checkpoint(folder)
    model, tokenizer = load_trained(folder, max_length=run_config(run).max_length)
    with quiet():
        return pipeline("text-classification", model=model, tokenizer=tokenizer)


def classify(classifier: Pipeline, texts: Iterable[str]) -> Iterator[Prediction]:
    """Predictions in the order of the texts, which are cleaned like those of training; a batch at a time."""
    source = iter(texts)
    while batch := list(islice(source, BATCH)):
        found = classifier([clean(text) for text in batch], batch_size=BATCH, truncation=True)
        for text, answer in zip(batch, found, strict=True):
            yield Prediction(text, answer["label"], answer["score"])


def lines_of(stream: BufferedIOBase) -> Iterator[str]:
    """Lines that hold a text, without tabs and line ends.

    Raises:
        UserError: For a line that is not UTF-8 or longer than 1 MB, with its number.
    """
    for number in range(1, sys.maxsize):
        raw = stream.readline(LONGEST_LINE + 1)
        if not raw:
            return
        if len(raw) > LONGEST_LINE:
            raise UserError(f"standard input, line {number}: longer than 1 MB; is this a file of texts?")
        try:
            text = " ".join(raw.decode("utf-8-sig").split())
        except UnicodeDecodeError:
            raise UserError(f"standard input, line {number}: not UTF-8") from None
        if text:
            yield text


if __name__ == "__main__":
    command(main, PredictConfig)
