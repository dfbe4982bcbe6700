"""Adapters at their start are the identity: inserted they change no bit of an output, removed they leave nothing."""

from dataclasses import replace

import torch

from projects.adapters.arms import adapter_maker, read_encoder
from projects.adapters.config import Config
from projects.adapters.hooks.forward_hooks import adapters_of, register_adapters, remove_adapters
from projects.adapters.models.adapter import adapter_parameters
from shared.errors import UserError
from shared.progress import table

TEXTS = (
    "A moving, beautifully acted film .",
    "Two hours of noise and nothing else .",
    "It has its moments , but few .",
)
YES_NO = {True: "yes", False: "NO"}


def check_identity(config: Config) -> None:
    """Show that adapters which start at zero change no bit of the encoder's output, and leave none behind.

    Raises:
        UserError: If an output or a weight differs.
    """
    encoder, tokenizer = read_encoder(config)
    tokens = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    words = (tokens["input_ids"], tokens["attention_mask"])
    weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    rows = []
    with torch.inference_mode():
        before = encoder(*words)
        for kind in ("bottleneck", "parallel"):
            made = adapter_maker(replace(config, adapter_type=kind), encoder.size.width)
            names = register_adapters(encoder, config.targets, made)
            counted = sum(p.numel() for _, adapter in adapters_of(encoder) for p in adapter.parameters())
            inside = same_bits(encoder(*words), before)
            remove_adapters(encoder)
            after = same_bits(encoder(*words), before) and encoder.state_dict().keys() == weights.keys()
            after = after and all(same_bits(t, weights[n]) for n, t in encoder.state_dict().items())
            formula = len(names) * adapter_parameters(encoder.size.width, config.bottleneck)
            rows.append((kind, len(names), f"{counted:,}", f"{formula:,}", YES_NO[inside], YES_NO[after]))
            if not (inside and after and counted == formula):
                raise UserError(f"{kind}: the adapters at their start are not the identity, or left something behind")
    columns = ["adapters", "in modules", "parameters", "by the formula", "inserted: same bits", "removed: same bits"]
    table("Identity at the start", columns, rows)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits; 0.0 and −0.0 do not."""
    if one.is_floating_point():
        one, other = one.contiguous().view(torch.int32), other.contiguous().view(torch.int32)
    return torch.equal(one, other)
