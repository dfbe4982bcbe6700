"""What the default run does after training: verify, reload merged, compare, and classify a few texts."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from projects.lora.config import Config
from projects.lora.data import Texts
from projects.lora.evaluate import logits_of
from projects.lora.models.classifier import Classifier
from projects.lora.scripts.train_lora import Metrics, build, read_corpus
from projects.lora.utils.state_utils import load_lora_state
from shared.assets import load_encoder
from shared.errors import UserError
from shared.fingerprint import refuse_changed
from shared.progress import table

TOLERANCE = 1e-4  # of the largest difference between two logits: float32 rounding through six blocks


def show(runs: dict[str, Metrics]) -> None:
    """Print one row a run."""
    rows = [
        (name, m.accuracy, m.macro_f1, f"{m.trained:,}", f"{m.trained / m.parameters:.2%}", f"{m.seconds:.0f} s")
        for name, m in runs.items()
    ]
    columns = ["trained", "test accuracy", "macro-F1", "parameters", "of all", "time"]
    table("Test questions, never seen in training", columns, rows)


def load_trained(
    directory: Path, config: Config, *, merge: bool
) -> tuple[Classifier, PreTrainedTokenizerFast, list[str]]:
    """The saved classifier, its tokenizer and the names of its classes, with the updates merged or apart."""
    encoder, tokenizer = load_encoder(config.model, max_length=config.max_length)
    classes = read_corpus(config, tokenizer).classes
    model = build(replace(config, arm="lora"), encoder, len(classes))
    load_lora_state(model, directory / "adapter", merge_weights=merge)
    return model.eval(), tokenizer, classes


def check_saved(directory: Path, config: Config) -> tuple[Classifier, PreTrainedTokenizerFast, list[str]]:
    """Verify the run's fingerprints, and that merged and unmerged weights answer alike. Returns the merged model.

    Raises:
        UserError: If a file changed since it was saved, or an answer differs.
    """
    refuse_changed(directory)
    apart, tokenizer, _ = load_trained(directory, config, merge=False)
    merged, _, classes = load_trained(directory, config, merge=True)
    test = read_corpus(config, tokenizer).test
    one, other = logits_of(apart, test), logits_of(merged, test)
    same, gap = int((one.argmax(1) == other.argmax(1)).sum()), (one - other).abs().max().item()
    print(f"Reloaded merged: {same} of {len(test)} answers the same, largest difference of a logit {gap:.1e}\n")
    if same < len(test) or gap > TOLERANCE:
        raise UserError(f"{directory}: merged and separate weights answer differently (largest difference {gap:.1e})")
    return merged, tokenizer, classes


def classify(model: Classifier, tokenizer: PreTrainedTokenizerFast, classes: list[str], texts: Iterable[str]) -> None:
    """Print the likeliest class of each text with its probability."""
    texts = list(texts)
    tokens = tokenizer(texts, truncation=True)["input_ids"]
    logits = logits_of(model, Texts(texts, tokens, [0] * len(texts), tokenizer.pad_token_id))
    chances, winners = torch.softmax(logits, dim=1).max(1)
    rows = [(text, classes[w], f"{p:.2f}") for text, w, p in zip(texts, winners, chances.tolist(), strict=True)]
    table("Questions of its own", ["question", "class", "probability"], rows)
