"""LoRA: a frozen linear layer plus a trained update of low rank (Hu et al. 2021).

The paper writes the update of W (k×d) as ΔW = B·A with B k×r and A r×d. Here, as in the course's brief, a row vector is
multiplied from the left, so that A is d×r, B is r×k, and y = x·Wᵀ + b + scale·(x·A)·B. The two are transposes.
"""

# b batch · t time · d input width · k output width · r rank · h heads · e head size

import difflib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from shared.errors import UserError

Scaling = Literal["alpha/r", "alpha/sqrt(r)"]
FROZEN = "frozen_by_lora"  # attribute of a module that `inject_lora` froze


class LoRALinear(nn.Module):
    """A linear layer whose weight is frozen and whose update has rank r.

    A starts Kaiming-uniform and B at zero, so that the wrapped layer equals the base exactly until B moves.

    >>> base = nn.Linear(8, 6)
    >>> layer = LoRALinear(base, rank=2, alpha=4.0)
    >>> x = torch.randn(3, 8)
    >>> torch.equal(layer(x), base(x))
    True
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['A', 'B']

    Merging gives the base layer a weight that holds the update; unmerging puts its own back, the very bits:

    >>> _ = nn.init.normal_(layer.B)
    >>> before, weight = layer(x), base.weight.clone()
    >>> layer.merge()
    >>> torch.allclose(layer(x), before, atol=1e-5), layer.merged
    (True, True)
    >>> layer.unmerge()
    >>> torch.equal(base.weight, weight)
    True

    Args:
        base: The layer to wrap; its parameters are frozen.
        rank: r, from 1 to the smaller width of the layer.
        alpha: Numerator of the scale.
        dropout: Probability, on the input of the update only.
        scaling: "alpha/r" (Hu et al. 2021, §4.1) or "alpha/sqrt(r)" (Kalajdzievski 2023, rank-stabilised).

    Raises:
        UserError: If the rank does not fit the layer.
    """

    merged_base: nn.Parameter | None

    def __init__(
        self, base: nn.Linear, rank: int, alpha: float, *, dropout: float = 0.0, scaling: Scaling = "alpha/r"
    ) -> None:
        super().__init__()
        refuse_rank(base, rank)
        self.base = base.requires_grad_(False)
        self.rank, self.alpha, self.scaling = rank, alpha, scaling
        self.scale = scale_of(rank, alpha, scaling)
        self.dropout = nn.Dropout(dropout)
        self.A = nn.Parameter(base.weight.new_empty(base.in_features, rank))
        self.B = nn.Parameter(base.weight.new_zeros(rank, base.out_features))
        nn.init.kaiming_uniform_(self.A.T, a=math.sqrt(5))  # of the transpose: the fan-in is d
        # The base's own weight while merged. In a state_dict it tells a merged layer from one that is not: neither
        # loads into the other without an error.
        self.register_parameter("merged_base", None)

    @property
    def merged(self) -> bool:
        """Whether the base weight holds the update."""
        return self.merged_base is not None

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b k"]:
        """The base's output plus the update; when merged the base's output alone, which holds it."""
        frozen = self.base(x)
        if self.merged:
            return frozen
        down = self.dropout(x) @ self.A  # (*b,d) -> (*b,r)
        # addmm adds, scales and multiplies in one pass: no tensor of the output's size is made twice.
        updated = torch.addmm(
            frozen.reshape(-1, frozen.shape[-1]), down.reshape(-1, self.rank), self.B, alpha=self.scale
        )
        return updated.view_as(frozen)

    def delta(self) -> Float[Tensor, "k d"]:
        """ΔW in the base weight's layout, in float32: a product in bfloat16 would lose bits before the sum."""
        return self.scale * (self.A.float() @ self.B.float()).T

    @torch.no_grad()
    def merged_weight(self) -> Float[Tensor, "k d"]:
        """The base's own weight plus the update, summed in float32 and then cast to the base's type.

        Raises:
            UserError: If the sum is not finite in that type: float16 ends at 65,504.
        """
        base = self.base.weight if self.merged_base is None else self.merged_base
        weight = (base.float() + self.delta()).to(base.dtype)
        if not torch.isfinite(weight).all():
            raise UserError(f"base weight and update together are not finite in {base.dtype}: merge in a wider type")
        return weight

    def merge(self) -> None:
        """Let the base weight hold the update; does nothing when merged already.

        The merged weight is a new one. The base's own is put aside untouched, since other layers may share it: an
        embedding that is tied to this layer keeps what it had.

        Raises:
            UserError: As `merged_weight`, or if the base is under a mask of torch's pruning; nothing is then changed.
        """
        if not isinstance(self.base.weight, nn.Parameter):
            raise UserError("the base weight is under a pruning mask: prune.remove before merging")
        if self.merged_base is None:
            merged = nn.Parameter(self.merged_weight(), requires_grad=False)
            self.merged_base, self.base.weight = self.base.weight, merged

    def unmerge(self) -> None:
        """Put the base's own weight back, bit for bit: it was kept, since subtracting the update would round."""
        if self.merged_base is not None:
            self.base.weight, self.merged_base = self.merged_base, None

    def extra_repr(self) -> str:
        """What `print(model)` shows beside the layer's name."""
        return f"rank={self.rank}, scale={self.scale:g}, merged={self.merged}"


def refuse_rank(base: nn.Linear, rank: int) -> None:
    """Stop if an update of this rank does not fit the layer.

    Raises:
        UserError: Which names the ranks that do.
    """
    narrow = min(base.in_features, base.out_features)
    if not 1 <= rank <= narrow:
        raise UserError(f"rank {rank} does not fit a {base.in_features}→{base.out_features} layer: use 1 to {narrow}")


def scale_of(rank: int, alpha: float, scaling: Scaling) -> float:
    """The factor before the update.

    >>> scale_of(16, 16.0, "alpha/r"), scale_of(16, 16.0, "alpha/sqrt(r)")
    (1.0, 4.0)
    """
    return alpha / (rank if scaling == "alpha/r" else math.sqrt(rank))


class LoRAAttention(nn.Module):
    """Multi-head attention with LoRA on the query, key, value and output projections.

    >>> attention = LoRAAttention(hidden_size=16, num_heads=4, rank=2, alpha=2.0)
    >>> x = torch.randn(2, 5, 16)
    >>> attention(x, x, x, is_causal=True).shape
    torch.Size([2, 5, 16])
    >>> sum(p.numel() for p in attention.parameters() if p.requires_grad)  # four layers, 2·16·r each
    256

    Args:
        hidden_size: Width of the input and of all heads together; a multiple of `num_heads`.
        rank: r of each update; `alpha`, `dropout` and `scaling` as in LoRALinear.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        rank: int,
        alpha: float,
        *,
        dropout: float = 0.0,
        scaling: Scaling = "alpha/r",
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise UserError(f"a hidden size of {hidden_size} does not divide into {num_heads} heads")
        self.num_heads = num_heads

        def projection() -> LoRALinear:
            return LoRALinear(nn.Linear(hidden_size, hidden_size), rank, alpha, dropout=dropout, scaling=scaling)

        self.query, self.key, self.value, self.output = (projection() for _ in range(4))

    @classmethod
    def from_torch(
        cls, attention: nn.MultiheadAttention, rank: int, alpha: float, *, scaling: Scaling = "alpha/r"
    ) -> "LoRAAttention":
        """Wrap a copy of torch's multi-head attention (one width for queries, keys and values)."""
        wrapped = cls(attention.embed_dim, attention.num_heads, rank, alpha, scaling=scaling)
        assert attention.in_proj_weight is not None and attention.in_proj_bias is not None
        layers = (wrapped.query, wrapped.key, wrapped.value)
        with torch.no_grad():
            weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
            for layer, weight, bias in zip(layers, weights, biases, strict=True):
                layer.base.weight.copy_(weight)
                layer.base.bias.copy_(bias)
            wrapped.output.base.weight.copy_(attention.out_proj.weight)
            wrapped.output.base.bias.copy_(attention.out_proj.bias)
        return wrapped

    def forward(
        self,
        query: Float[Tensor, "b t d"],
        key: Float[Tensor, "b s d"],
        value: Float[Tensor, "b s d"],
        *,
        key_padding_mask: Bool[Tensor, "b s"] | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "b t d"]:
        """Softmax attention, all heads at once.

        Args:
            key_padding_mask: True where a key is padding and must not be attended to (torch's convention).
            is_causal: Position i attends to positions up to i only.
        """
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]  # (b,1,1,s), True = attend
        if mask is not None and is_causal:
            causal = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
            mask, is_causal = mask & causal, False
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)  # (b,h,t,e)
        return self.output(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t e"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def inject_lora(
    model: nn.Module,
    targets: Iterable[str],
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    scaling: Scaling = "alpha/r",
) -> list[str]:
    """Freeze `model` and wrap its target layers in place. Returns their names.

    Give it the pretrained part only: a new head outside it stays trainable. LoRA layers that are there already stay as
    they are, trainable too: other targets may get another rank and α by a second call. A layer that the model holds
    under several names gets one update, under all of them.

    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> inject_lora(model, ["0"], rank=2, alpha=2.0)
    ['0']
    >>> _ = remove_lora(model)
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=2, bias=True)
    )

    Args:
        model: Any module, for example one from transformers.
        targets: Names, or the last parts of names: "query" takes encoder.layer.0.attention.self.query.
        rank: r of each update; `alpha`, `dropout` and `scaling` as in LoRALinear.

    Raises:
        UserError: If a target names no linear layer, or one that has LoRA already, or the rank does not fit one; the
            model is then unchanged.
    """
    layers, targets = _layers(model), list(targets)
    for name, _ in lora_layers(model, every_name=True):
        if any(_matches(target, name) for target in targets):
            raise UserError(f"{name} has LoRA already: remove_lora first, or name other targets")
    chosen = {id(layers[name]): layers[name] for target in targets for name in _matching(target, layers)}
    for layer in chosen.values():  # all of them before the first change: an error leaves the model whole
        refuse_rank(layer, rank)
    kept = {id(part) for _, layer in lora_layers(model) for part in (layer.A, layer.B) if part.requires_grad}
    wrapped = {key: LoRALinear(layer, rank, alpha, dropout=dropout, scaling=scaling) for key, layer in chosen.items()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in kept)
    names = sorted(name for name, layer in layers.items() if id(layer) in wrapped)
    for name in names:
        _replace(model, name, wrapped[id(layers[name])])
    setattr(model, FROZEN, True)
    return names


def remove_lora(model: nn.Module) -> int:
    """Undo of `inject_lora`: every base layer back in its place, bit for bit, frozen. Returns how many."""
    unmerge_lora(model)
    return _unwrap(model)


def fold_lora(model: nn.Module) -> int:
    """Replace every LoRA layer by a plain linear layer that holds the update. Returns how many. Has no undo.

    What quantises or exports by the exact type nn.Linear needs this; for a while only, use `merge`.

    Raises:
        UserError: As `merge_lora`; the model is then unchanged.
    """
    merge_lora(model)
    return _unwrap(model)


def merge_lora(model: nn.Module) -> None:
    """Merge every LoRA layer of the model; those merged already stay as they are.

    Raises:
        UserError: If a layer cannot be merged; the model is then unchanged.
    """
    apart = [(name, layer) for name, layer in lora_layers(model) if not layer.merged]
    try:
        for name, layer in apart:
            with named(name):
                layer.merge()
    except UserError:
        for _, layer in apart:
            layer.unmerge()
        raise


def unmerge_lora(model: nn.Module) -> None:
    """Unmerge every LoRA layer of the model."""
    for _, layer in lora_layers(model):
        layer.unmerge()


def lora_layers(model: nn.Module, *, every_name: bool = False) -> Iterator[tuple[str, LoRALinear]]:
    """The LoRA layers of a model, each under its first name or under every name that it has."""
    for name, module in model.named_modules(remove_duplicate=not every_name):
        if isinstance(module, LoRALinear):
            yield name, module


@contextmanager
def named(layer: str) -> Iterator[None]:
    """Say in which layer an error inside the block came up."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{layer}: {error}") from None


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Trained tensors, by layer and not by requires_grad, which may be off by the time of saving.

    A and B of every LoRA layer, all that is outside of what `inject_lora` froze (the head), and inside it what is
    trainable all the same.
    """
    updates = {id(part) for _, layer in lora_layers(model) for part in (layer.A, layer.B)}
    frozen = [module for module in model.modules() if hasattr(module, FROZEN) or isinstance(module, LoRALinear)]
    base = {id(parameter) for module in frozen for parameter in module.parameters()} - updates
    return {name: p for name, p in model.named_parameters() if p.requires_grad or id(p) not in base}


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """Tensors that are not trained, under the names and with the values that they have without the updates."""
    trained = {id(p) for p in trained_state(model).values()}
    own = {id(layer.base.weight): layer.merged_base for _, layer in lora_layers(model) if layer.merged_base is not None}
    state: dict[int, tuple[str, Tensor]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        kept = own.get(id(parameter), parameter)
        if id(kept) not in trained and not name.endswith("merged_base"):
            state.setdefault(id(kept), (name, kept))  # a tied weight counts once, under its first name
    return dict(state.values())


def _layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Linear layers under every name that they have, those inside a LoRA layer left out."""
    inside = {id(layer.base) for _, layer in lora_layers(model)}
    modules = model.named_modules(remove_duplicate=False)
    return {name: m for name, m in modules if isinstance(m, nn.Linear) and id(m) not in inside}


def _matching(target: str, linear: dict[str, nn.Linear]) -> list[str]:
    names = [name for name in linear if _matches(target, name)]
    if not names:
        known = sorted({part for name in linear for part in (name, name.rsplit(".", 1)[-1])})
        near = difflib.get_close_matches(target, known, n=3, cutoff=0.4) or known[:3]
        raise UserError(f"target {target!r} names no linear layer of the model; near it: {', '.join(near)}")
    return names


def _unwrap(model: nn.Module) -> int:
    """Put every LoRA layer's base in its place. Returns how many layers there were."""
    layers = list(lora_layers(model, every_name=True))
    for name, layer in layers:
        _replace(model, name, layer.base)
    for module in model.modules():
        module.__dict__.pop(FROZEN, None)
    return len({id(layer) for _, layer in layers})


def _matches(target: str, name: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
