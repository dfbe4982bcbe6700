"""What training made, on disk: adapters, norms, head and configuration together, apart from the frozen base.

A folder of two files, adapter.safetensors and adapter.json. Scores after a reload are those before it because nothing
is left out: an adapter without the head or the norms that were trained beside it is another model. They are found by
layer, so that a model that was set to requires_grad_(False) before is saved all the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from projects.adapters.arms import build_model, load_base
from projects.adapters.config import Config
from projects.adapters.hooks.forward_hooks import adapters_of, is_frozen, is_kept_trainable
from shared.errors import UserError
from shared.files import atomic_directory, read_json, write_json
from shared.run_directories import describe_config
from shared.tensors import contiguous, load_tensors

FORMAT = "adapter-state.v1"
TENSORS, DESCRIPTION = "adapter.safetensors", "adapter.json"


@dataclass(frozen=True)
class Trained:
    """A model as it was saved, ready to answer.

    Attributes:
        model: In evaluation mode, base frozen, adapters enabled.
        classes: Names of the classes, in the order of the head.
        tagging: Whether words have classes, or texts.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerFast
    config: Config
    classes: list[str]
    tagging: bool


def save_adapters(model: nn.Module, path: Path, config: Config, *, classes: list[str], tagging: bool) -> None:
    """Save every trained tensor (adapters, norms, head) with all that is needed to build the model again.

    Args:
        model: Holds adapters in a frozen base.
        path: A folder that does not exist; it appears whole or not at all.
        config: What the model was built from.
        classes: Names of the classes, in the order of the head.
        tagging: Whether words have classes, or texts.

    Raises:
        UserError: If the model has no adapter, or the folder exists or cannot be written.
    """
    with atomic_directory(path) as folder:
        write_adapters(model, folder, config, classes=classes, tagging=tagging)


def write_adapters(model: nn.Module, folder: Path, config: Config, *, classes: list[str], tagging: bool) -> None:
    """Write the two files into an existing folder: a run's own, which is then sealed. Else as `save_adapters`."""
    if not any(adapters_of(model)):
        raise UserError("the model has no adapter: register_adapters first")
    save_file(contiguous(trained_state(model)), folder / TENSORS)
    described = {
        "format": FORMAT,
        "config": describe_config(config),
        "classes": classes,
        "tagging": tagging,
        "base_dtype": base_dtype(model),
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
    current = trained_state(model)
    _refuse_other_shapes(tensors, current, path)
    saved = (described["config"]["adapter_type"], described["config"]["scale"])
    for name, adapter in adapters_of(model):
        mine = (type(adapter).__name__.removeprefix("Adapter").lower(), adapter.scale)
        if mine != saved:
            raise UserError(f"{path} was saved with adapters {saved}, {name} has {mine}")
    saved_dtype, dtype = described.get("base_dtype", base_dtype(model)), base_dtype(model)
    if saved_dtype != dtype:
        convert = f"load it into one in {saved_dtype}, and convert that with .to()"
        raise UserError(f"{path} was trained on a base in {saved_dtype}, the model's is in {dtype}: {convert}")
    if base_digest(model) != described["base_sha256"]:
        raise UserError(f"{path} was trained on another base model: the digests of the frozen weights differ")
    with torch.no_grad():
        for name, tensor in tensors.items():
            current[name].copy_(tensor)


def load_trained(path: Path, *, device: torch.device | None = None) -> Trained:
    """The model that `save_adapters` saved, rebuilt from its configuration.

    Raises:
        UserError: As `load_adapters`, or if the base model cannot be found.
    """
    described = read_description(path)
    config = config_of(described, path)
    encoder, tokenizer = load_base(config)
    model = build_model(config, encoder, len(described["classes"]), tagging=described["tagging"])
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


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """What is trained, found by layer: requires_grad may be off by the time of saving.

    That is the adapters, what was kept trainable (the norms), all that is outside of a frozen base (the head), and
    inside it what requires a gradient all the same.
    """
    trained = [adapter for _, adapter in adapters_of(model)] + [m for m in model.modules() if is_kept_trainable(m)]
    frozen = [module for module in model.modules() if is_frozen(module)]
    base = {id(p) for module in frozen for p in module.parameters()}
    base -= {id(p) for module in trained for p in module.parameters()}
    return {name: p for name, p in model.named_parameters() if p.requires_grad or id(p) not in base}


def base_dtype(model: nn.Module) -> str:
    """Type of the encoder's weights, for example float32."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def base_digest(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every parameter that is not trained."""
    digest, trained = hashlib.sha256(), trained_state(model)
    for name, tensor in sorted(model.named_parameters()):
        if name not in trained:
            raw = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {raw.dtype} {tuple(raw.shape)}\n".encode())
            digest.update(raw.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_other_shapes(tensors: dict[str, Tensor], current: Mapping[str, Tensor], path: Path) -> None:
    for name in sorted(tensors.keys() ^ current.keys()):
        where = "the model has no such tensor" if name in tensors else "the saved state lacks it"
        raise UserError(f"{path} does not fit the model: {name}: {where}")
    for name, tensor in tensors.items():
        if tensor.shape != current[name].shape:
            shapes = f"{tuple(tensor.shape)} saved, {tuple(current[name].shape)} in the model"
            raise UserError(f"{path} does not fit the model: {name} is {shapes}")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
