"""LoRA weights on disk: apart from the base (small), or merged into it (a plain model).

A saved state is a folder of two files, adapter.safetensors and adapter.json. Apart, it holds every trainable tensor:
A and B of each layer, and the head, without which the scores after a reload would be another model's. Merged, it holds
the whole model under the names that it had before LoRA was injected.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from projects.lora.models.lora import lora_layers, merge_lora
from shared.errors import UserError
from shared.files import atomic_directory, write_json
from shared.runs import contiguous, load_tensors, read_json, trainable_state

FORMAT = "lora-state.v1"
TENSORS, DESCRIPTION = "adapter.safetensors", "adapter.json"


def save_lora_state(model: nn.Module, path: Path, merge_weights: bool = False) -> None:
    """Save a model's LoRA weights and head. The model itself is left as it was.

    Args:
        model: Holds LoRA layers, merged or not.
        path: A folder that does not exist; it appears whole or not at all.
        merge_weights: False saves A, B and the head apart from the base; True saves the whole model with the updates
            folded in (computed in float32, then cast to the base's type).

    Raises:
        UserError: If the model has no LoRA layer, or the folder exists or cannot be written.
    """
    tensors = merged_state(model) if merge_weights else trainable_state(model)
    description = {"format": FORMAT, "merged": merge_weights, **describe_lora(model)}
    with atomic_directory(path) as folder:
        save_file(contiguous(tensors), folder / TENSORS)
        description["tensors_sha256"] = _sha256(folder / TENSORS)
        write_json(folder / DESCRIPTION, description)


def load_lora_state(model: nn.Module, path: Path, merge_weights: bool = False) -> None:
    """Load what `save_lora_state` wrote. Everything is checked before the first tensor is copied.

    | saved as | merge_weights=False | merge_weights=True |
    |---|---|---|
    | apart | into a model with the same LoRA layers, unmerged | the same, then merged |
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
        _copy(tensors, model.state_dict(), path)
        return
    _refuse_other(describe_lora(model), description, path)
    _copy(tensors, trainable_state(model), path)
    if merge_weights:
        merge_lora(model)


def describe_lora(model: nn.Module) -> dict[str, Any]:
    """Rank, α, scaling rule and names of a model's LoRA layers, and the digest of the base below them.

    Raises:
        UserError: If the model has none.
    """
    layers = dict(lora_layers(model))
    if not layers:
        raise UserError("the model has no LoRA layer: inject_lora first")
    first = next(iter(layers.values()))
    shared = {"rank": first.rank, "alpha": first.alpha, "scaling": first.scaling}
    return {**shared, "targets": sorted(layers), "base_sha256": base_digest(model)}


def base_digest(model: nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of every frozen tensor, as it is without the updates."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_frozen(model).items()):
        raw = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {raw.dtype} {tuple(raw.shape)}\n".encode())
        digest.update(raw.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors with every update folded in, under the names of the plain model."""
    state = dict(model.state_dict())
    for name, layer in lora_layers(model):
        for part in layer.state_dict():
            del state[f"{name}.{part}"]
        base = layer.base.weight if layer.merged_base is None else layer.merged_base
        state[f"{name}.weight"] = (base.float() + layer.delta()).to(base.dtype)
        if layer.base.bias is not None:
            state[f"{name}.bias"] = layer.base.bias
    return state


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    frozen: dict[str, Tensor] = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    for name, layer in lora_layers(model):
        if layer.merged_base is not None:
            frozen[f"{name}.base.weight"] = layer.merged_base
    return frozen


def _read_description(path: Path) -> dict[str, Any]:
    description = read_json(path / DESCRIPTION)
    needed = {"format", "merged", "rank", "alpha", "scaling", "targets", "base_sha256", "tensors_sha256"}
    if not isinstance(description, dict) or description.get("format") != FORMAT or needed - description.keys():
        raise UserError(f"{path / DESCRIPTION} does not describe a LoRA state of format {FORMAT}")
    return description


def _refuse_other(mine: dict[str, Any], saved: dict[str, Any], path: Path) -> None:
    for field in ("rank", "alpha", "scaling", "targets"):
        if mine[field] != saved[field]:
            raise UserError(
                f"{path} was saved with {field} {_short(saved[field])}, the model has {_short(mine[field])}"
            )
    if mine["base_sha256"] != saved["base_sha256"]:
        raise UserError(f"{path} was trained on another base model: the digests of the frozen weights differ")


def _short(value: Any) -> str:
    return f"{len(value)} layers ({value[0]}, ...)" if isinstance(value, list) and value else str(value)


@torch.no_grad()
def _copy(tensors: dict[str, Tensor], into: dict[str, Tensor], path: Path) -> None:
    """Copy by name, once all names and shapes are known to fit."""
    for name in sorted(tensors.keys() ^ into.keys()):
        where = "the model has no such tensor" if name in tensors else "the saved state lacks it"
        raise UserError(f"{path} does not fit the model: {name}: {where}")
    for name, tensor in tensors.items():
        if tensor.shape != into[name].shape:
            shapes = f"{tuple(tensor.shape)} saved, {tuple(into[name].shape)} in the model"
            raise UserError(f"{path} does not fit the model: {name} is {shapes}")
    for name, tensor in tensors.items():
        into[name].copy_(tensor)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
