"""Mixout: in each forward pass a random share p of the weights stands at its pretrained value u instead of at w.

    w̃ = (M∘u + (1 − M)∘w − p·u) / (1 − p),   M ~ Bernoulli(p) for each weight,   so E[w̃] = w

which is u + K∘(w − u) with K = (1 − M)/(1 − p): dropout on the distance from the pretrained weights. Written so,
autograd gives ∂w̃/∂w = K, with its 1/(1 − p); code that only masks the gradient takes another expected step.

Source: Lee, Cho and Kang 2020, "Mixout: Effective Regularization to Finetune Large-scale Pretrained Language Models",
eq. 3 and definition 1. As there, it acts on the encoder's linear layers and not on the new head, which has no
pretrained value; embeddings are left alone too, since a batch touches few of their rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LEVELS = 2**16  # a mask is drawn with 16 bits a weight: four from each 64-bit number, which is what a mask costs


def mixout_targets(model: nn.Module, head: str = "classifier") -> dict[str, Tensor]:
    """Frozen copies of the weights that mixout returns to: every linear layer's but the head's, by parameter name."""
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return {
        f"{name}.weight": module.weight.detach().clone()
        for name, module in linear.items()
        if name.split(".")[0] != head
    }


def keep_mask(weight: Tensor, p: float) -> Tensor:
    """K: 0 with probability p, else 1/(1 − p), with p rounded to a multiple of 2⁻¹⁶ in both places.

    Args:
        weight: Only its shape, type and device matter.
        p: In [0, 1).
    """
    replaced = round(p * LEVELS)
    words = torch.empty(-(-weight.numel() // 4), dtype=torch.int64, device=weight.device).random_(-(2**63), None)
    draws = words.view(torch.int16)[: weight.numel()].view(weight.shape)  # uniform in −2¹⁵ … 2¹⁵ − 1
    return (draws >= replaced - LEVELS // 2).to(weight.dtype).mul_(LEVELS / (LEVELS - replaced))


def mix(weight: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """The mixed weight u + K∘(w − u): where K is 0 the target's very bits. Differentiable in the weight.

    Args:
        weight: The trained w.
        target: The pretrained u, without gradient; zero gives dropconnect.
        keep: The mask K, from `keep_mask`.
    """
    return torch.addcmul(target, keep, weight - target)


@contextmanager
def mixed(model: nn.Module, targets: Mapping[str, Tensor], p: float) -> Iterator[None]:
    """Inside the block the layers compute with freshly mixed weights, and gradients reach the trained ones.

    After it the parameters are in their places again, also after an exception. With p = 0 nothing happens, and no
    random number is drawn.

    Args:
        targets: What `mixout_targets` gave before training began.
        p: In [0, 1).
    """
    replaced: list[tuple[dict[str, nn.Parameter | None], str, nn.Parameter]] = []
    try:
        for name, target in sorted(targets.items()) if p > 0 else ():  # a file gives them back in another order
            layer, _, kind = name.rpartition(".")
            # Put in place inside the same dict: popping it would change the order of the model's parameters.
            slots = model.get_submodule(layer)._parameters
            weight = slots[kind]
            assert weight is not None
            replaced.append((slots, kind, weight))
            slots[kind] = mix(weight, target, keep_mask(weight, p))  # type: ignore[assignment]
        yield
    finally:
        for slots, kind, weight in replaced:
            slots[kind] = weight
