"""LoRA weights on disk: apart from the base (small), or merged into it (a plain model).

A saved state is a folder of two files, adapter.safetensors and adapter.json. Apart, it holds every trained tensor: A
and B of each layer, and the head, without which the scores after a reload would be another model's; they are found by
layer, so that a model that was set to requires_grad_(False) before is saved all the same. Merged, it holds the whole
model under the names that it had before LoRA was injected.
"""

import hashlib
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from projects.lora.models.lora import base_state, lora_layers, merge_lora, named, trained_state, unmerge_lora
from shared.errors import UserError
from shared.files import atomic_directory, read_json, write_json
from shared.tensors import contiguous, load_tensors

FORMAT = "lora-state.v1"
TENSORS, DESCRIPTION = "adapter.safetensors", "adapter.json"
PER_LAYER = ("rank", "alpha", "scaling")


def save_lora_state(model: nn.Module, path: Path, merge_weights: bool = False) -> None:
    """Save a model's LoRA weights and head. The model itself is left as it was.

    Args:
        model: Holds LoRA layers, merged or not.
        path: A folder that does not exist; it appears whole or not at all.
        merge_weights: False saves A, B and the head apart from the base; True saves the whole model with the updates
            folded in (computed in float32, then cast to the base's type).

    Raises:
        UserError: If the model has no LoRA layer, the folder exists or cannot be written, or a merged weight is not
            finite in the base's type.
    """
    with atomic_directory(path) as folder:
        write_lora_state(model, folder, merge_weights)


def write_lora_state(model: nn.Module, folder: Path, merge_weights: bool = False) -> None:
    """Write the two files into a folder that is there: a run's own, which is then sealed. Else as `save_lora_state`."""
    tensors = merged_state(model) if merge_weights else trained_state(model)
    description = {"format": FORMAT, "merged": merge_weights, **describe_lora(model)}
    save_file(contiguous(tensors), folder / TENSORS)
    description["tensors_sha256"] = _sha256(folder / TENSORS)
    write_json(folder / DESCRIPTION, description)


def load_lora_state(model: nn.Module, path: Path, merge_weights: bool = False) -> None:
    """Load what `save_lora_state` wrote. Everything is checked before the first tensor is copied.

    | saved as | merge_weights=False | merge_weights=True |
    |---|---|---|
    | apart | into a model with the same LoRA layers, which is unmerged first | the same, then merged |
    | merged | refused: a sum cannot be taken apart | into the plain model, without LoRA layers |

    Args:
        model: As the table says, with the same base and head.
        path: The saved folder.
        merge_weights: Whether the base weights shall hold the updates afterwards.

    Raises:
        UserError: If the files are cut or edited, or belong to another base, rank, target, head or scale.
    """
    description = _read_description(path)
    if _sha256(path / TENSORS) != description["tensors_sha256"]:
        raise UserError(f"{path / TENSORS} is cut or edited: its digest is not the one in {DESCRIPTION}")
    tensors = load_tensors(path / TENSORS)
    if description["merged"]:
        if not merge_weights:
            raise UserError(f"{path} holds merged weights, which cannot be taken apart: pass merge_weights=True")
        into = model.state_dict()
        _refuse_unfit(tensors, into, path)
        _copy(tensors, into)
        return
    _refuse_other(describe_lora(model), description, path)
    into = trained_state(model)
    _refuse_unfit(tensors, into, path)
    unmerge_lora(model)  # or the old update would go on answering from the base weight
    _copy(tensors, into)
    if merge_weights:
        merge_lora(model)


def describe_lora(model: nn.Module) -> dict[str, Any]:
    """Names of a model's LoRA layers, their rank, α and scaling rule, type and digest of the base below them.

    Where all layers agree, rank, α and rule are one value, else one a layer, in the order of the names.

    Raises:
        UserError: If the model has none.
    """
    layers = dict(sorted(lora_layers(model)))
    if not layers:
        raise UserError("the model has no LoRA layer: inject_lora first")
    each = {field: [getattr(layer, field) for layer in layers.values()] for field in PER_LAYER}
    settings = {field: values[0] if len(set(values)) == 1 else values for field, values in each.items()}
    dtype = str(next(iter(layers.values())).base.weight.dtype).removeprefix("torch.")
    return {**settings, "targets": list(layers), "base_dtype": dtype, "base_sha256": base_digest(model)}


def base_digest(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor that is not trained, as it is without the updates."""
    digest = hashlib.sha256()
    for name, tensor in sorted(base_state(model).items()):
        raw = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {raw.dtype} {tuple(raw.shape)}\n".encode())
        digest.update(raw.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors with every update folded in, under the names of the plain model.

    Raises:
        UserError: If a merged weight is not finite in the base's type.
    """
    state = dict(model.state_dict())
    for name, layer in lora_layers(model, every_name=True):
        for part in layer.state_dict():
            del state[f"{name}.{part}"]
        with named(name):
            state[f"{name}.weight"] = layer.merged_weight()
        if layer.base.bias is not None:
            state[f"{name}.bias"] = layer.base.bias
    return state


def _read_description(path: Path) -> dict[str, Any]:
    description = read_json(path / DESCRIPTION)
    needed = {"format", "merged", "rank", "alpha", "scaling", "targets", "base_sha256", "tensors_sha256"}
    known = isinstance(description, dict) and description.get("format") == FORMAT and not needed - description.keys()
    if not known or not isinstance(description["targets"], list) or not description["targets"]:
        raise UserError(f"{path / DESCRIPTION} does not describe a LoRA state of format {FORMAT}")
    return description


def _refuse_other(mine: dict[str, Any], saved: dict[str, Any], path: Path) -> None:
    if mine["targets"] != saved["targets"]:
        theirs, ours = (f"{len(each)} layers ({each[0]}, ...)" for each in (saved["targets"], mine["targets"]))
        raise UserError(f"{path} was saved with targets {theirs}, the model has {ours}")
    for field in PER_LAYER:
        for name, theirs, ours in zip_longest(mine["targets"], _each(field, saved), _each(field, mine)):
            if theirs != ours:
                raise UserError(f"{path} was saved with {field} {theirs}, the model has {ours} ({name})")
    dtypes = saved.get("base_dtype", mine["base_dtype"]), mine["base_dtype"]
    if dtypes[0] != dtypes[1]:
        raise UserError(
            f"{path} was trained on a base in {dtypes[0]}, the model's is in {dtypes[1]}: load it into one in "
            f"{dtypes[0]}, and convert that with .to()"
        )
    if mine["base_sha256"] != saved["base_sha256"]:
        raise UserError(f"{path} was trained on another base model: the digests of the frozen weights differ")


def _each(field: str, description: dict[str, Any]) -> list[Any]:
    """A setting layer by layer."""
    value = description[field]
    return value if isinstance(value, list) else [value] * len(description["targets"])


def _refuse_unfit(tensors: dict[str, Tensor], into: Mapping[str, Tensor], path: Path) -> None:
    """Stop before the first copy unless every name and shape fits, and what the model ties is equal."""
    for name in sorted(tensors.keys() ^ into.keys()):
        where = "the model has no such tensor" if name in tensors else "the saved state lacks it"
        raise UserError(f"{path} does not fit the model: {name}: {where}")
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        if tensor.shape != into[name].shape:
            shapes = f"{tuple(tensor.shape)} saved, {tuple(into[name].shape)} in the model"
            raise UserError(f"{path} does not fit the model: {name} is {shapes}")
        other = first.setdefault(into[name].data_ptr(), name)
        if name != other and not torch.equal(tensor, tensors[other]):
            raise UserError(f"{path} does not fit the model: {other} and {name} differ, and are one tied weight in it")


@torch.no_grad()
def _copy(tensors: dict[str, Tensor], into: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        into[name].copy_(tensor)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
