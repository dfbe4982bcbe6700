"""Adapters in any network, by forward hooks: nothing of the network is edited, and taking them out leaves no trace.

    register_adapters(model, ["blocks.*.attention", "blocks.*.feed_forward"], lambda name: AdapterBottleneck(384, 64))
    disable_adapters(model)      the base's outputs, bit for bit; the adapters stay where they are
    enable_adapters(model)
    remove_adapters(model)

An adapter is a submodule `adapter` of the module that it adapts, so that state_dict, .to() and deepcopy treat it as
part of the model. The hook itself holds nothing: it looks the adapter up in the module that calls it, so that a copy's
hook finds the copy's adapter.

torch.compile traces a model once: a compiled model does not see hooks that come or go later (it would silently compute
without them). Registering on a compiled model, or removing from it, is therefore refused; compile afterwards. A wrapper
around the model that somebody else holds cannot be seen: `fast = torch.compile(model)`, then hooks on `model`.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from torch import Tensor, nn

from projects.adapters.models.adapter import Adapter
from shared.errors import UserError

SUBMODULE = "adapter"  # name of an adapter in the module that it adapts


def register_adapters(model: nn.Module, patterns: Iterable[str], make_adapter: Callable[[str], Adapter]) -> list[str]:
    """Hook an adapter to every module that a pattern names. Returns the names of the modules.

    A module that has an adapter of the same kind and size already keeps it: inserting twice is inserting once.

    >>> from projects.adapters.models.adapter import AdapterBottleneck
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    >>> register_adapters(model, ["1"], lambda name: AdapterBottleneck(4, 2))
    ['1']
    >>> remove_adapters(model)
    1
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): Linear(in_features=4, out_features=4, bias=True)
    )

    Args:
        model: Any module; its attention may return tuples, of which the first element is adapted.
        patterns: As in `match_modules`.
        make_adapter: From a module's name to its adapter.

    Raises:
        UserError: If a pattern names nothing, a module has another adapter or another submodule of that name, or the
            model is compiled; the model is then unchanged.
    """
    refuse_compiled(model)
    names = sorted({name for pattern in patterns for name in match_modules(model, pattern)})
    made = {
        name: make_adapter(name) for name in names
    }  # all of them before the first insertion: an error leaves it whole
    new = {name: adapter for name, adapter in made.items() if _needs(model.get_submodule(name), name, adapter)}
    for name, adapter in new.items():
        _insert(model.get_submodule(name), adapter)
    return names


def enable_adapters(model: nn.Module) -> int:
    """Let every adapter add its update again. Returns how many there are."""
    return _set_enabled(model, on=True)


def disable_adapters(model: nn.Module) -> int:
    """Let every hook return the base's output untouched. Returns how many there are."""
    return _set_enabled(model, on=False)


def remove_adapters(model: nn.Module) -> int:
    """Undo of `register_adapters`. Returns how many there were.

    Raises:
        UserError: If the model is compiled.
    """
    refuse_compiled(model)
    found = [name for name, _ in adapters_of(model)]
    for name in found:
        _remove(model.get_submodule(name))
    return len(found)


@contextmanager
def inserted(model: nn.Module, patterns: Iterable[str], make_adapter: Callable[[str], Adapter]) -> Iterator[list[str]]:
    """Adapters inside the block only; those that were there before stay. Yields the names of the new ones' modules."""
    before = {name for name, _ in adapters_of(model)}
    names = [name for name in register_adapters(model, patterns, make_adapter) if name not in before]
    try:
        yield names
    finally:
        for name in names:
            _remove(model.get_submodule(name))


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """The base alone inside the block; afterwards each adapter is on or off as it was."""
    before = [(adapter, adapter.enabled) for _, adapter in adapters_of(model)]
    disable_adapters(model)
    try:
        yield
    finally:
        for adapter, enabled in before:
            adapter.enabled = enabled


def adapters_of(model: nn.Module) -> Iterator[tuple[str, Adapter]]:
    """(name of the adapted module, its adapter) of every adapter in the model."""
    for name, module in model.named_modules():
        adapter = module._modules.get(SUBMODULE)
        if isinstance(adapter, Adapter):
            yield name, adapter


def match_modules(model: nn.Module, pattern: str) -> list[str]:
    """Names of the modules that a pattern names: it is compared, part by part, with the end of the name.

    "feed_forward" takes blocks.0.feed_forward; "layer.*.output.dense" takes encoder.layer.0.output.dense and not
    encoder.layer.0.attention.output.dense, since * stands for one part. Modules inside adapters are left out.

    Raises:
        UserError: If there are none; the message names what is nearest.
    """
    names = [name for name in _names_outside_adapters(model) if name]
    parts = pattern.split(".")
    found = [name for name in names if _matches_end(name.split("."), parts)]
    if not found:
        known = sorted({_without_numbers(name) for name in names} | {name.rsplit(".", 1)[-1] for name in names})
        near = difflib.get_close_matches(pattern, known, n=3, cutoff=0.4) or known[:3]
        raise UserError(f"pattern {pattern!r} names no module of the model; near it: {', '.join(near)}")
    return found


def refuse_compiled(model: nn.Module) -> None:
    """Refuse a change that a compiled model would not see.

    Raises:
        UserError: If the model, or a part of it, went through torch.compile or Module.compile.
    """
    for name, module in model.named_modules():
        # torch.compile(m) wraps m and keeps it as _orig_mod; m.compile() sets _compiled_call_impl.
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            where = f"{name} is" if name else "the model is"
            raise UserError(f"{where} compiled, and would not see hooks that come or go now: compile after hooking")


def _needs(module: nn.Module, name: str, adapter: Adapter) -> bool:
    """Whether the module still needs the adapter."""
    there = getattr(module, SUBMODULE, None)
    if there is None:
        return True
    if type(there) is not type(adapter) or there.extra_repr() != adapter.extra_repr():
        raise UserError(f"{name} holds another adapter ({there}): remove_adapters first".replace("\n", " "))
    return False


def _insert(module: nn.Module, adapter: Adapter) -> None:
    like = next(module.parameters(), None)
    if like is not None:
        adapter.to(like)
    adapter.train(module.training)
    module.add_module(SUBMODULE, adapter)
    adapter.handle = module.register_forward_hook(adapter_hook, with_kwargs=True)


def _remove(module: nn.Module) -> None:
    adapter = module._modules.pop(SUBMODULE)
    assert isinstance(adapter, Adapter) and adapter.handle is not None
    adapter.handle.remove()
    adapter.handle = None


def adapter_hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """The forward hook: one function for all modules, without state of its own."""
    adapter = module._modules[SUBMODULE]
    assert isinstance(adapter, Adapter)
    if not adapter.enabled:
        return output
    sublayer_input = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    if isinstance(output, Tensor):
        return adapter(output, sublayer_input)
    if isinstance(output, tuple) and isinstance(output[0], Tensor):  # attention: (context, weights)
        return (adapter(output[0], sublayer_input), *output[1:])
    raise UserError(f"{type(module).__name__} returns {type(output).__name__}: hook a module that returns a tensor")


def _set_enabled(model: nn.Module, *, on: bool) -> int:
    found = [adapter for _, adapter in adapters_of(model)]
    for adapter in found:
        adapter.enabled = on
    return len(found)


def _names_outside_adapters(model: nn.Module) -> list[str]:
    inside = {id(part) for _, adapter in adapters_of(model) for part in adapter.modules()}
    return [name for name, module in model.named_modules() if id(module) not in inside]


def _matches_end(name: list[str], parts: list[str]) -> bool:
    tail = name[-len(parts) :]
    return len(tail) == len(parts) and all(fnmatchcase(n, p) for n, p in zip(tail, parts, strict=True))


def _without_numbers(name: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


# ---------------------------------------------------------------- the frozen base


def freeze(base: nn.Module) -> None:
    """Stop the base's parameters, and keep it in evaluation mode even when someone calls model.train().

    Adapters inside it stay trainable. The module's class is left alone, so that its name, `isinstance`, pickling and
    what transformers saves as the architecture are those of the base. `unfreeze` is the way back.
    """
    own = {id(p) for adapter in _adapters_inside(base) for p in adapter.parameters()}
    for parameter in base.parameters():
        parameter.requires_grad_(id(parameter) in own)
    # An attribute of this one module, found before its class's train(). A partial of a function of this file pickles,
    # and a deep copy's holds the copy.
    vars(base)["train"] = partial(_train_adapters, base)
    base.train(base.training)


def unfreeze(base: nn.Module) -> None:
    """Undo of `freeze`: every parameter is trainable, and train() is the class's own again."""
    base.requires_grad_(True)
    vars(base).pop("train", None)


def keep_trainable(part: nn.Module) -> None:
    """Train a part of a frozen base all the same, a norm for example: it is saved with the adapters."""
    vars(part)["kept_trainable"] = True
    part.requires_grad_(True)


def is_frozen(module: nn.Module) -> bool:
    """Whether `freeze` was called on this very module."""
    return "train" in vars(module)


def is_kept_trainable(module: nn.Module) -> bool:
    """Whether `keep_trainable` was called on this very module."""
    return "kept_trainable" in vars(module)


def _train_adapters(base: nn.Module, mode: bool = True) -> nn.Module:
    """In the place of a frozen base's train(): evaluation mode, without dropout, whatever is asked; adapters follow."""
    type(base).train(base, False)
    for adapter in _adapters_inside(base):
        adapter.train(mode)
    return base


def _adapters_inside(base: nn.Module) -> list[Adapter]:
    """Hooked or not: an adapter that a block calls by itself is trained like one on a hook."""
    return [module for module in base.modules() if isinstance(module, Adapter)]
