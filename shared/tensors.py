"""Tensors on their way to a file and back: safetensors alone, checked before the first one is copied."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.errors import UserError


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        UserError: If it is missing, truncated or no safetensors file.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path} is not there") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}): it is cut or edited; save it again") from None


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached CPU copies that safetensors accepts: contiguous, and none sharing another's memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The parameters that training moves: what a checkpoint needs beside the frozen base."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def load_trainable(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy saved values into the parameters that training moves; none is copied unless all fit.

    Raises:
        UserError: If one is missing, is not the model's, or has another shape.
    """
    wanted = trainable_state(model)
    if wanted.keys() != tensors.keys():
        differing = sorted(wanted.keys() ^ tensors.keys())
        raise UserError(f"these are weights of another model: {', '.join(differing[:3])} only on one side")
    for name, parameter in wanted.items():
        if parameter.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, not {tuple(parameter.shape)}"
            raise UserError(f"these are weights of another model: {name} has the shape {shapes}")
    for name, parameter in wanted.items():
        parameter.copy_(tensors[name])
