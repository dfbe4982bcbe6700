"""The classifier and its tokenizer: AutoModelForSequenceClassification over whatever `--model` names."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from projects.hf_finetune.training.supervisor import is_out_of_memory
from shared.assets import resolve_model
from shared.assets.quiet import quiet
from shared.errors import UserError

# What the library raises for a folder without a model, a model of another kind or size, a damaged file.
BROKEN = (OSError, ValueError, KeyError, SafetensorError, RuntimeError)


def load_tokenizer(name: str, *, max_length: int) -> PreTrainedTokenizerFast:
    """The model's fast tokenizer, which cuts at `max_length` tokens, special ones included.

    Raises:
        UserError: If there is none.
    """
    source = resolve_model(name)
    if max_length < 3:
        raise UserError(f"--max_length {max_length}: must be at least 3, for a word between the two special tokens")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    except BROKEN as error:
        raise_if_out_of_memory(error)
        raise UserError(f"--model {name}: no tokenizer that can be loaded ({first_line(error)})") from None
    tokenizer.model_max_length = max_length
    return tokenizer


def load_classifier(name: str, classes: list[str], *, max_length: int) -> PreTrainedModel:
    """The pretrained encoder under a classification head, in float32; a head that is not in the files is drawn.

    Raises:
        UserError: If the model cannot be loaded, takes fewer tokens, or was trained for other classes.
    """
    source = resolve_model(name)
    try:
        with quiet():
            model = AutoModelForSequenceClassification.from_pretrained(
                source,
                dtype=torch.float32,
                num_labels=len(classes),
                id2label=dict(enumerate(classes)),
                label2id={name: index for index, name in enumerate(classes)},
            )
    except BROKEN as error:
        raise_if_out_of_memory(error)
        raise UserError(
            f"--model {name}: no classifier of {len(classes)} classes in it ({first_line(error)})"
        ) from None
    positions = getattr(model.config, "max_position_embeddings", max_length)
    if max_length > positions:
        raise UserError(f"--max_length {max_length}: {name} takes 3 to {positions} tokens")
    return model


def load_trained(folder: Path, *, max_length: int) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A classifier that a run saved, with its own classes, in evaluation mode.

    Raises:
        UserError: If the folder holds no such classifier.
    """
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} is not there: give the directory of a finished run of this project")
    try:
        with quiet():
            model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    except BROKEN as error:
        raise UserError(f"{folder}: no classifier that can be loaded ({first_line(error)})") from None
    return model.eval(), load_tokenizer(str(folder), max_length=max_length)


def raise_if_out_of_memory(error: BaseException) -> None:
    """Let a failed allocation through: the files are not to blame for it."""
    if is_out_of_memory(error):
        raise error


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
