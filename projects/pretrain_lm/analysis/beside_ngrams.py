"""n-grams, a pretrained model, and both mixed: perplexity on the same held-out documents.

python -m projects.pretrain_lm.analysis.beside_ngrams --run runs/pretrain_lm/results/news-seed0

If the mixture is better than either, each knows something that the other does not.
"""

# n labels of a split

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.pretrain_lm.evaluate import Evaluation, label_probabilities, mixture_weight
from projects.pretrain_lm.ngram import KneserNey, documents_of
from projects.pretrain_lm.train_pretrain import Metrics, load_run, read_corpus
from shared.errors import command
from shared.optim import count_parameters
from shared.progress import table

ORDERS = (2, 3, 5)
HELD_OUT = ("validation", "test")
TITLE, COLUMNS = "Test documents, never seen in training", ["model", "perplexity", "bits per byte"]
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
    table(TITLE, COLUMNS, shown)
    return rows


def compare(run: Path) -> list[dict[str, Any]]:
    """A row for the n-grams of each order, for the model of the run, and for it mixed with the longest n-grams.

    The mixture's weight is chosen on validation. `parameters` are the numbers that a model holds, of an n-gram model
    one for each n-gram.
    """
    config, model, tokenizer = load_run(run)
    corpus = read_corpus(config)
    num_bytes = {split: corpus.num_bytes(split) for split in HELD_OUT}
    train = list(documents_of(corpus.folder, "train"))
    rows: list[dict[str, Any]] = []
    for order in ORDERS:
        ngrams = KneserNey(train, len(tokenizer), order)
        counted = {split: ngrams.probabilities(documents_of(corpus.folder, split)) for split in HELD_OUT}
        rows.append(row_of(f"Kneser–Ney {order}-gram", counted, num_bytes, sum(len(o.keys) for o in ngrams.orders)))
    neural = {split: label_probabilities(model, corpus.held_out(config, split)) for split in HELD_OUT}
    weight = mixture_weight(neural["validation"], counted["validation"])
    mixed = {split: weight * neural[split] + (1 - weight) * counted[split] for split in HELD_OUT}
    parameters = count_parameters(model)[1]
    both = parameters + rows[-1]["parameters"]
    rows.append(row_of("Transformer", neural, num_bytes, parameters))
    rows.append(row_of(f"both mixed, {weight:.2f} of the Transformer", mixed, num_bytes, both))
    return rows


def beside_longest(metrics: Metrics) -> None:
    """Print the model's perplexity and bits per byte beside a Kneser–Ney 5-gram's on the same tokens."""
    config, _, tokenizer = load_run(metrics.directory)
    corpus = read_corpus(config)
    ngrams = KneserNey(documents_of(corpus.folder, "train"), len(tokenizer), ORDERS[-1])
    found: dict[str, Evaluation] = {
        f"Kneser–Ney {ORDERS[-1]}-gram": ngrams.evaluate(documents_of(corpus.folder, "test")),
        f"Transformer, {metrics.parameters:,} parameters": metrics.test,
    }
    num_bytes = corpus.num_bytes("test")
    rows = [(name, f"{each.perplexity:.2f}", f"{each.bits_per_byte(num_bytes):.3f}") for name, each in found.items()]
    table(TITLE, COLUMNS, rows)


def row_of(model: str, probabilities: Probabilities, num_bytes: dict[str, int], parameters: int) -> dict[str, Any]:
    """A row of news.csv, from the probabilities and the bytes of each held-out split."""
    row: dict[str, Any] = {"model": model}
    for split in reversed(HELD_OUT):
        found = Evaluation(float(-np.log(probabilities[split]).mean()), len(probabilities[split]))
        row[f"{split}_perplexity"] = found.perplexity
        row[f"{split}_bits_per_byte"] = found.bits_per_byte(num_bytes[split])
    return {**row, "parameters": parameters}


if __name__ == "__main__":
    command(main, CompareConfig)
