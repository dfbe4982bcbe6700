"""n-grams, a pretrained model, and both mixed, by what they make of the same held-out documents.

python -m projects.pretrain_lm.analysis.beside_ngrams --run runs/pretrain_lm/results/news-seed0

If the mixture is better than either, each knows something that the other does not.
"""

# n labels of a split

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.pretrain_lm.evaluate import Prediction, label_probabilities, mixture_weight
from projects.pretrain_lm.ngram import KneserNey, documents_of
from projects.pretrain_lm.train_pretrain import Metrics, bytes_of, load, read_corpus
from shared.errors import command
from shared.optim import count_parameters
from shared.progress import table

ORDERS = (2, 3, 5)
HELD_OUT = ("validation", "test")
Probabilities = dict[str, Float[np.ndarray, " n"]]
"""Held-out split → the probability of each of its labels, in the order of the documents."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Set a causal model beside n-grams that were counted on its own training tokens."""

    run: Path = Path("runs/pretrain_lm/results/news-seed0")
    """A finished run of a causal model."""


def main(config: CompareConfig) -> list[dict[str, Any]]:
    """Compare, and print a row a model."""
    rows = compare(config.run)
    shown = [(r["model"], f"{r['test_perplexity']:.2f}", f"{r['test_bits_per_byte']:.3f}") for r in rows]
    table("Test documents, never seen in training", ["model", "perplexity", "bits per byte"], shown)
    return rows


def compare(run: Path) -> list[dict[str, Any]]:
    """n-grams by their order, the model of the run, and it mixed with the longest of them: a row each.

    The mixture's weight is chosen on validation. `parameters` are the numbers that a model holds, of an n-gram model
    one for each n-gram.
    """
    config, model, vocabulary = load(run)
    corpus = read_corpus(config)
    size = {split: bytes_of(corpus, split) for split in HELD_OUT}
    train = list(documents_of(corpus.folder, "train"))
    rows: list[dict[str, Any]] = []
    for order in ORDERS:
        counted = KneserNey(train, len(vocabulary), order)
        grams = {split: counted.probabilities(documents_of(corpus.folder, split)) for split in HELD_OUT}
        rows.append(row_of(f"Kneser–Ney {order}-gram", grams, size, sum(len(o.keys) for o in counted.orders)))
    mine = {split: label_probabilities(model, corpus.held_out(config, split)) for split in HELD_OUT}
    weight = mixture_weight(mine["validation"], grams["validation"])
    mixed = {split: weight * mine[split] + (1 - weight) * grams[split] for split in HELD_OUT}
    parameters = count_parameters(model)[1]
    both = parameters + rows[-1]["parameters"]
    rows.append(row_of("Transformer", mine, size, parameters))
    rows.append(row_of(f"both mixed, {weight:.2f} of the Transformer", mixed, size, both))
    return rows


def beside_longest(metrics: Metrics) -> None:
    """Print the model's perplexity and bits per byte beside a Kneser–Ney 5-gram's on the same tokens."""
    config, _, vocabulary = load(metrics.directory)
    corpus = read_corpus(config)
    grams = KneserNey(documents_of(corpus.folder, "train"), len(vocabulary), ORDERS[-1])
    found: dict[str, Prediction] = {
        f"Kneser–Ney {ORDERS[-1]}-gram": grams.predict(documents_of(corpus.folder, "test")),
        f"Transformer, {metrics.parameters:,} parameters": metrics.test,
    }
    size = bytes_of(corpus, "test")
    rows = [(name, f"{p.perplexity:.2f}", f"{p.bits_per_byte(size):.3f}") for name, p in found.items()]
    table("Test documents, never seen in training", ["model", "perplexity", "bits per byte"], rows)


def row_of(model: str, probabilities: Probabilities, size: dict[str, int], parameters: int) -> dict[str, Any]:
    """What a model's probabilities come to; `size` are the bytes of each split's texts."""
    row: dict[str, Any] = {"model": model}
    for split in reversed(HELD_OUT):
        found = Prediction(float(-np.log(probabilities[split]).mean()), len(probabilities[split]))
        row[f"{split}_perplexity"] = found.perplexity
        row[f"{split}_bits_per_byte"] = found.bits_per_byte(size[split])
    return {**row, "parameters": parameters}


if __name__ == "__main__":
    command(main, CompareConfig)
