"""LoRA: a frozen linear layer plus a trained update of low rank (Hu et al. 2021).

The paper writes the update of W (k×d) as ΔW = B·A with B k×r and A r×d. Here, as in the course's brief, a row vector is
multiplied from the left, so that A is d×r, B is r×k, and y = x·Wᵀ + b + scale·(x·A)·B. The two are transposes.
"""

# b batch · t time · d input width · k output width · r rank · h heads · e width of one head

import difflib
import math
from collections.abc import Iterable, Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from shared.errors import UserError

Scaling = Literal["alpha/r", "alpha/sqrt(r)"]


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

    Merging folds the update into the base weight; unmerging restores the very bits:

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

    merged_base: Tensor | None

    def __init__(
        self, base: nn.Linear, rank: int, alpha: float, *, dropout: float = 0.0, scaling: Scaling = "alpha/r"
    ) -> None:
        super().__init__()
        narrow = min(base.in_features, base.out_features)
        if not 1 <= rank <= narrow:
            raise UserError(
                f"rank {rank} does not fit a {base.in_features}→{base.out_features} layer: use 1 to {narrow}"
            )
        self.base = base.requires_grad_(False)
        self.rank, self.alpha, self.scaling = rank, alpha, scaling
        self.scale = scale_of(rank, alpha, scaling)
        self.dropout = nn.Dropout(dropout)
        self.A = nn.Parameter(base.weight.new_empty(base.in_features, rank))
        self.B = nn.Parameter(base.weight.new_zeros(rank, base.out_features))
        nn.init.kaiming_uniform_(self.A.T, a=math.sqrt(5))  # of the transpose: the fan-in is d
        # The base's own bits while merged. Not saved: a merged state holds the merged weight only.
        self.register_buffer("merged_base", None, persistent=False)

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
    def merge(self) -> None:
        """Fold the update into the base weight; does nothing when merged already."""
        if self.merged:
            return
        weight = self.base.weight
        self.merged_base = weight.clone()
        weight.copy_(weight.float() + self.delta())

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the base's own weight back, bit for bit: from the copy, since subtracting the update would round."""
        if self.merged_base is not None:
            self.base.weight.copy_(self.merged_base)
            self.merged_base = None

    def extra_repr(self) -> str:
        """What `print(model)` shows beside the layer's name."""
        return f"rank={self.rank}, scale={self.scale:g}, merged={self.merged}"


def scale_of(rank: int, alpha: float, scaling: Scaling) -> float:
    """The factor before the update.

    >>> scale_of(16, 16.0, "alpha/r"), scale_of(16, 16.0, "alpha/sqrt(r)")
    (1.0, 4.0)
    """
    return alpha / (rank if scaling == "alpha/r" else math.sqrt(rank))


class LoRAAttention(nn.Module):
    """Multi-head attention with LoRA on the query, key, value and output projections.

    >>> attention = LoRAAttention(width=16, heads=4, rank=2, alpha=2.0)
    >>> x = torch.randn(2, 5, 16)
    >>> attention(x, x, x, is_causal=True).shape
    torch.Size([2, 5, 16])
    >>> sum(p.numel() for p in attention.parameters() if p.requires_grad)  # four layers, 2·16·r each
    256

    Args:
        width: Of the input and of all heads together; a multiple of `heads`.
        heads: Number of heads.
        rank: As in LoRALinear, as are `alpha`, `dropout` (of the updates) and `scaling`.
        alpha: See `rank`.
        dropout: See `rank`.
        scaling: See `rank`.
    """

    def __init__(
        self, width: int, heads: int, rank: int, alpha: float, *, dropout: float = 0.0, scaling: Scaling = "alpha/r"
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"a width of {width} does not divide into {heads} heads")
        self.heads = heads

        def projection() -> LoRALinear:
            return LoRALinear(nn.Linear(width, width), rank, alpha, dropout=dropout, scaling=scaling)

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
        """Attend.

        Args:
            query: What asks.
            key: What is compared with it.
            value: What is read.
            key_padding_mask: True where a key is padding and must not be read (torch's convention).
            is_causal: Position i reads positions up to i only.
        """
        q, k, v = self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value))
        mask = None if key_padding_mask is None else ~key_padding_mask[:, None, None, :]  # (b,1,1,s), True = read
        if mask is not None and is_causal:
            causal = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).tril()
            mask, is_causal = mask & causal, False
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)  # (b,h,t,e)
        return self.output(read.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


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

    Give it the pretrained part only: a new head outside it stays trainable.

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
        rank: As in LoRALinear, as are `alpha`, `dropout` and `scaling`.
        alpha: See `rank`.
        dropout: See `rank`.
        scaling: See `rank`.

    Raises:
        UserError: If a target names no linear layer or the rank does not fit one; the model is then unchanged.
    """
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    chosen = {name: linear[name] for target in targets for name in _matching(target, linear)}
    wrapped = {
        name: LoRALinear(layer, rank, alpha, dropout=dropout, scaling=scaling) for name, layer in chosen.items()
    }  # all of them before the first replacement: an error leaves the model whole
    model.requires_grad_(False)
    for name, layer in wrapped.items():
        _replace(model, name, layer)
        layer.A.requires_grad_(True)
        layer.B.requires_grad_(True)
    return sorted(wrapped)


def remove_lora(model: nn.Module) -> int:
    """Undo of `inject_lora`: every base layer back in its place, bit for bit, frozen. Returns how many."""
    layers = dict(lora_layers(model))
    for name, layer in layers.items():
        layer.unmerge()
        _replace(model, name, layer.base)
    return len(layers)


def fold_lora(model: nn.Module) -> int:
    """Replace every LoRA layer by a plain linear layer that holds the update. Returns how many. Has no undo.

    What quantises or exports by the exact type nn.Linear needs this; for a while only, use `merge`.
    """
    layers = dict(lora_layers(model))
    for name, layer in layers.items():
        layer.merge()
        _replace(model, name, layer.base)
    return len(layers)


def merge_lora(model: nn.Module) -> None:
    """Merge every LoRA layer of the model; those merged already stay as they are."""
    for _, layer in lora_layers(model):
        layer.merge()


def unmerge_lora(model: nn.Module) -> None:
    """Unmerge every LoRA layer of the model."""
    for _, layer in lora_layers(model):
        layer.unmerge()


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """The LoRA layers of a model with their names."""
    for name, module in model.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


def _matching(target: str, linear: dict[str, nn.Linear]) -> list[str]:
    names = [name for name in linear if name == target or name.endswith(f".{target}")]
    if not names:
        known = sorted({part for name in linear for part in (name, name.rsplit(".", 1)[-1])})
        near = difflib.get_close_matches(target, known, n=3, cutoff=0.4) or known[:3]
        raise UserError(f"target {target!r} names no linear layer of the model; near it: {', '.join(near)}")
    return names


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
