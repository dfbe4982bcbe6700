"""Adapters at their start are the identity: inserted they change no bit of an output, removed they leave nothing."""

from dataclasses import replace

import torch

from projects.adapters.arms import adapter_factory, load_base
from projects.adapters.config import AdapterType, Config
from projects.adapters.hooks.forward_hooks import adapters_of, register_adapters, remove_adapters
from projects.adapters.models.adapter import adapter_parameters
from shared.errors import UserError
from shared.progress import table

TEXTS = (
    "A moving, beautifully acted film .",
    "Two hours of noise and nothing else .",
    "It has its moments , but few .",
)
BOTH: tuple[AdapterType, ...] = ("bottleneck", "parallel")


def check_identity(config: Config) -> None:
    """Show that adapters which start at zero change no bit of the encoder's output, and leave none behind.

    Raises:
        UserError: If an output or a weight differs.
    """
    encoder, tokenizer = load_base(config)
    tokens = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    batch = (tokens["input_ids"], tokens["attention_mask"])
    weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    rows = []
    with torch.inference_mode():
        before = encoder(*batch)
        for kind in BOTH:
            factory = adapter_factory(replace(config, adapter_type=kind), encoder.config.hidden_size)
            names = register_adapters(encoder, config.targets, factory)
            inserted = encoder(*batch)
            counted = sum(p.numel() for _, adapter in adapters_of(encoder) for p in adapter.parameters())
            remove_adapters(encoder)
            same = same_bits(inserted, before) and same_bits(encoder(*batch), before)
            left = encoder.state_dict()
            same = same and left.keys() == weights.keys() and all(same_bits(left[name], weights[name]) for name in left)
            if not same or counted != len(names) * adapter_parameters(encoder.config.hidden_size, config.bottleneck):
                raise UserError(f"{kind}: the adapters at their start are not the identity, or left something behind")
            rows.append((kind, len(names), f"{counted:,}", "yes", "yes"))
    columns = ["adapters", "in modules", "parameters", "inserted: same bits", "removed: same bits"]
    table("Identity at the start", columns, rows)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same bits; 0.0 and −0.0 do not."""
    return torch.equal(*(tensor.contiguous().view(torch.uint8) for tensor in (one, other)))
