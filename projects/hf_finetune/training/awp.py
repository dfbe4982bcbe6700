"""Adversarial weight perturbation: the gradient is taken at weights moved a little uphill, and applied to the weights.

    δ = γ · ‖w‖ · g / ‖g‖    for each weight tensor w with more than one dimension, g = ∂L/∂w

Source: Wu, Xia and Wang 2020, "Adversarial Weight Perturbation Helps Robust Generalization", §4.1 and eq. 8. Departs:
the inputs are not perturbed, only the weights (there is no useful norm ball around a word); one ascent step.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def perturbable(model: nn.Module) -> list[nn.Parameter]:
    """Weights that AWP perturbs: those that are trained and have more than one dimension (no bias, no norm's gain)."""
    return [p for p in model.parameters() if p.requires_grad and p.ndim > 1]


@torch.no_grad()
def perturbation_scales(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], gamma: float) -> list[float]:
    """γ·‖w‖/‖g‖ for each weight: what its gradient is multiplied by to give δ. 0 where there is no gradient.

    Args:
        gradients: Gradient of the loss for each weight; None or all zero where the loss does not depend on it.
        gamma: Relative size of the perturbation, 0 or more.
    """
    scales = []
    for weight, gradient in zip(weights, gradients, strict=True):
        norm = 0.0 if gradient is None else gradient.norm().item()
        scales.append(gamma * weight.norm().item() / norm if norm > 0 else 0.0)
    return scales


@contextmanager
def perturbed(weights: Sequence[Tensor], gradients: Sequence[Tensor | None], scales: Sequence[float]) -> Iterator[None]:
    """Inside the block each weight stands at w + scale·gradient; after it every bit is back, also after an exception.

    The way back is a copy: (w + δ) − δ is not w in floating point.
    """
    moved = [(w, g, scale) for w, g, scale in zip(weights, gradients, scales, strict=True) if g is not None and scale]
    saved = [weight.detach().clone() for weight, _, _ in moved]
    try:
        with torch.no_grad():
            for weight, gradient, scale in moved:
                weight.add_(gradient, alpha=scale)
        yield
    finally:
        with torch.no_grad():
            for (weight, _, _), copy in zip(moved, saved, strict=True):
                weight.copy_(copy)
