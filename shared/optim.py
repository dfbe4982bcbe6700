"""One optimizer step over one or more micro-batches, parameter groups, and the learning-rate schedule."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from shared.errors import UserError


def step(optimizer: Optimizer, loss: Tensor, *, max_norm: float | None = None) -> float:
    """Backward, clip, update, clear. Returns the norm of the gradient before clipping.

    Args:
        optimizer: Holds every parameter that is to move.
        loss: Scalar.
        max_norm: The gradient's largest Euclidean norm over all groups; None leaves it alone.
    """
    loss.backward()
    return _update(optimizer, max_norm)


def accumulated_step(
    optimizer: Optimizer, losses: Iterable[tuple[Tensor, int]], *, total: int, max_norm: float | None = None
) -> float:
    """One update from several micro-batches, equal to the update of their union.

    A mean of means is wrong where micro-batches hold different numbers of labels: each loss is a sum and the division
    is by the labels of the whole window.

    Args:
        optimizer: Holds every parameter that is to move.
        losses: Yields (summed loss, its number of labels); consumed lazily, so one graph is alive at a time.
        total: Labels in the whole window.
        max_norm: As in `step`.

    Raises:
        ValueError: If the numbers of labels do not add up to `total`.
    """
    seen = 0
    for loss_sum, labels in losses:
        (loss_sum / total).backward()
        seen += labels
    if seen != total:
        optimizer.zero_grad()
        raise ValueError(f"the micro-batches hold {seen} labels, not {total}")
    return _update(optimizer, max_norm)


def _update(optimizer: Optimizer, max_norm: float | None) -> float:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, float("inf") if max_norm is None else max_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(norm)


def parameter_groups(
    model: nn.Module, rates: dict[str, tuple[Callable[[str], bool], float]], *, weight_decay: float = 0.0
) -> list[dict[str, object]]:
    """Put each trainable parameter in exactly one group, the first whose rule takes its name.

    Weight decay goes to matrices only: on biases and norms it pulls towards zero what has no reason to be small.

    Args:
        model: Frozen parameters are left out.
        rates: Group name → (rule on the parameter's name, learning rate). Empty groups are dropped.
        weight_decay: For tensors of two dimensions or more.

    Raises:
        UserError: If a trainable parameter is taken by no rule.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group = next((key for key, (takes, _) in rates.items() if takes(name)), None)
        if group is None:
            raise UserError(f"no learning rate covers the parameter {name}; groups: {', '.join(rates)}")
        groups.setdefault((group, parameter.ndim >= 2), []).append(parameter)
    return [
        {"name": key, "params": params, "lr": rates[key][1], "weight_decay": weight_decay if decays else 0.0}
        for (key, decays), params in groups.items()
    ]


def linear_schedule(optimizer: Optimizer, *, total: int, warmup: float = 0.06) -> LambdaLR:
    """Rates rise linearly from zero over the first `warmup` share of `total` steps, then fall linearly to zero."""
    rising = max(1, round(total * warmup))

    def factor(done: int) -> float:
        return min((done + 1) / rising, max(0.0, (total - done) / max(1, total - rising)))

    return LambdaLR(optimizer, factor)


def cosine_schedule(optimizer: Optimizer, *, total: int, warmup: float = 0.05, last: float = 0.1) -> LambdaLR:
    """Rates rise linearly over the first `warmup` share of `total` steps, then fall along half a cosine to `last`.

    Source: Loshchilov and Hutter 2017, "SGDR", eq. 5, without restarts.

    Args:
        optimizer: Its rates are the highest.
        total: Steps in all.
        warmup: Share of them.
        last: Share of the highest rate that is left at the end.
    """
    rising = max(1, round(total * warmup))

    def factor(done: int) -> float:
        along = min(1.0, max(0.0, (done - rising) / max(1, total - rising)))
        return min((done + 1) / rising, last + (1 - last) * 0.5 * (1 + math.cos(math.pi * along)))

    return LambdaLR(optimizer, factor)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, all) parameters, each tensor counted once even where two names share it."""
    unique = {id(p): p for p in model.parameters()}.values()
    return sum(p.numel() for p in unique if p.requires_grad), sum(p.numel() for p in unique)


def state_tensors(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The optimizer's state as tensors for safetensors and the rest as JSON values."""
    state = optimizer.state_dict()
    tensors, numbers = {}, {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value.detach().contiguous()
            else:
                numbers[f"{index}.{key}"] = value
    return tensors, {"numbers": numbers, "groups": state["param_groups"]}


def load_state_tensors(optimizer: Optimizer, tensors: dict[str, Tensor], rest: dict[str, object]) -> None:
    """Undo of `state_tensors`; the optimizer must hold the same parameters in the same order."""
    state: dict[int, dict[str, object]] = {}
    numbers = rest["numbers"]
    assert isinstance(numbers, dict)
    for name, value in (*tensors.items(), *numbers.items()):
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value.clone() if isinstance(value, torch.Tensor) else value
    optimizer.load_state_dict({"state": state, "param_groups": rest["groups"]})
