"""What training made, on disk: adapters, norms, head and configuration together, apart from the frozen base.

A folder of two files, adapter.safetensors and adapter.json. Scores after a reload are those before it because nothing
is left out: an adapter without the head or the norms that were trained beside it is another model.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from projects.adapters.assembly import build, copy_trainable, read_encoder
from projects.adapters.config import Config
from projects.adapters.hooks.forward_hooks import adapters_of
from shared.errors import UserError
from shared.files import atomic_directory, write_json
from shared.runs import contiguous, describe_config, load_tensors, read_json, trainable_state

FORMAT = "adapter-state.v1"
TENSORS, DESCRIPTION = "adapter.safetensors", "adapter.json"


@dataclass(frozen=True)
class Trained:
    """A model as it was saved, ready to answer.

    Attributes:
        model: In evaluation mode, base frozen, adapters enabled.
        tokenizer: Of the encoder.
        config: Of the run.
        classes: Names of the classes, in the order of the head.
        tagging: Whether words have classes, or texts.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    config: Config
    classes: list[str]
    tagging: bool


def save_adapters(model: nn.Module, path: Path, config: Config, *, classes: list[str], tagging: bool) -> None:
    """Save every trainable tensor (adapters, norms, head) with all that is needed to build the model again.

    Args:
        model: Holds adapters in a frozen base.
        path: A folder that does not exist; it appears whole or not at all.
        config: That the model was built from.
        classes: Names of the classes, in the order of the head.
        tagging: Whether words have classes, or texts.

    Raises:
        UserError: If the model has no adapter, or the folder exists or cannot be written.
    """
    if not any(adapters_of(model)):
        raise UserError("the model has no adapter: register_adapters first")
    with atomic_directory(path) as folder:
        save_file(contiguous(trainable_state(model)), folder / TENSORS)
        described = {
            "format": FORMAT,
            "config": describe_config(config),
            "classes": classes,
            "tagging": tagging,
            "base_sha256": base_digest(model),
            "tensors_sha256": _sha256(folder / TENSORS),
        }
        write_json(folder / DESCRIPTION, described)


def load_adapters(model: nn.Module, path: Path) -> None:
    """Load what `save_adapters` wrote into a model built alike. Everything is checked before a tensor is copied.

    Raises:
        UserError: If the files are cut or edited, or a name, a shape, the scale or the base is another.
    """
    described = read_description(path)
    if _sha256(path / TENSORS) != described["tensors_sha256"]:
        raise UserError(f"{path / TENSORS} is cut or edited: its digest is not the one in {DESCRIPTION}")
    tensors = load_tensors(path / TENSORS)
    _refuse_other_shapes(tensors, trainable_state(model), path)
    saved = (described["config"]["adapter_type"], described["config"]["scale"])
    for name, adapter in adapters_of(model):
        mine = (type(adapter).__name__.removeprefix("Adapter").lower(), adapter.scale)
        if mine != saved:
            raise UserError(f"{path} was saved with adapters {saved}, {name} has {mine}")
    if base_digest(model) != described["base_sha256"]:
        raise UserError(f"{path} was trained on another base model: the digests of the frozen weights differ")
    copy_trainable(model, tensors)


def load_trained(path: Path, *, device: torch.device | None = None) -> Trained:
    """The model that `save_adapters` saved, rebuilt from its configuration.

    Raises:
        UserError: As `load_adapters`, or if the base model cannot be found.
    """
    described = read_description(path)
    config = config_of(described, path)
    encoder, tokenizer = read_encoder(config)
    model = build(config, encoder, len(described["classes"]), tagging=described["tagging"])
    load_adapters(model, path)
    return Trained(model.to(device).eval(), tokenizer, config, described["classes"], described["tagging"])


def read_description(path: Path) -> dict[str, Any]:
    """adapter.json, once it is one.

    Raises:
        UserError: If it is missing or describes something else.
    """
    described = read_json(path / DESCRIPTION)
    needed = {"format", "config", "classes", "tagging", "base_sha256", "tensors_sha256"}
    if not isinstance(described, dict) or described.get("format") != FORMAT or needed - described.keys():
        raise UserError(f"{path / DESCRIPTION} does not describe an adapter state of format {FORMAT}")
    return described


def config_of(described: dict[str, Any], path: Path) -> Config:
    """The configuration in a description.

    Raises:
        UserError: If it holds a field that this version does not know.
    """
    try:
        return Config(**{**described["config"], "targets": tuple(described["config"]["targets"])})
    except (TypeError, KeyError) as error:
        raise UserError(f"{path / DESCRIPTION}: its configuration is of another version ({error})") from None


def base_digest(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every frozen parameter."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        if not tensor.requires_grad:
            raw = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {raw.dtype} {tuple(raw.shape)}\n".encode())
            digest.update(raw.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_other_shapes(tensors: dict[str, Tensor], into: dict[str, Tensor], path: Path) -> None:
    for name in sorted(tensors.keys() ^ into.keys()):
        where = "the model has no such tensor" if name in tensors else "the saved state lacks it"
        raise UserError(f"{path} does not fit the model: {name}: {where}")
    for name, tensor in tensors.items():
        if tensor.shape != into[name].shape:
            shapes = f"{tuple(tensor.shape)} saved, {tuple(into[name].shape)} in the model"
            raise UserError(f"{path} does not fit the model: {name} is {shapes}")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
