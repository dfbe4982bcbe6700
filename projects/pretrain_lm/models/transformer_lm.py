"""A small Transformer language model: causal, to write text, or bidirectional, to fill masked tokens; a flag decides.

With learned positions, biases and tanh-GELU it computes what GPT-2 computes: `gpt2_weights` copies a GPT2LMHeadModel
into it. Rotary positions are the other choice. Generation keeps keys and values: a new token costs one token's work.
"""

# b batch · t time · s time so far · d width · h heads · e width of one head · v vocabulary

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shared.errors import UserError

Positions = Literal["learned", "rotary"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """All that the shapes depend on.

    Attributes:
        vocabulary: Number of token ids.
        context: Longest sequence, in tokens.
        layers: Number of blocks.
        heads: Of each attention; divides the width.
        width: Of the hidden states, d.
        causal: Whether a position may read only itself and what is before it.
        positions: A learned vector each, or rotations of queries and keys.
        bias: Whether linear layers and norms have one (GPT-2: yes; nanoGPT's small recipe: no).
        dropout: Probability, after embeddings, in attention and after each sublayer.
    """

    vocabulary: int
    context: int = 128
    layers: int = 4
    heads: int = 4
    width: int = 128
    causal: bool = True
    positions: Positions = "learned"
    bias: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit."""
        for name in ("vocabulary", "context", "layers", "heads", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.width % self.heads:
            raise UserError(f"a width of {self.width} does not divide into {self.heads} heads")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise UserError(f"rotary positions turn pairs: a head of width {self.width // self.heads} has an odd one")


@dataclass
class Cache:
    """Keys and values of every block so far.

    Attributes:
        keys: One [b, h, s, e] a block.
        values: See `keys`.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(cls) -> "Cache":
        """Before the first token."""
        return cls([], [])

    @property
    def length(self) -> int:
        """Tokens so far, s."""
        return self.keys[0].shape[2] if self.keys else 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append a block's new keys and values. Returns all of them."""
        if layer == len(self.keys):
            self.keys.append(key)
            self.values.append(value)
        else:
            self.keys[layer] = torch.cat([self.keys[layer], key], 2)
            self.values[layer] = torch.cat([self.values[layer], value], 2)
        return self.keys[layer], self.values[layer]


class Attention(nn.Module):
    """Multi-head attention; one matrix makes queries, keys and values."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads, self.dropout = size.heads, size.dropout
        self.inward = nn.Linear(size.width, 3 * size.width, bias=size.bias)
        self.outward = nn.Linear(size.width, size.width, bias=size.bias)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        rotation: Float[Tensor, "2 t e"] | None,
        bias: Float[Tensor, "..."],
        cache: tuple[Cache, int] | None,
    ) -> Float[Tensor, "b t d"]:
        """Attend.

        Args:
            x: Normed hidden states.
            rotation: Cosines and sines of these positions, for rotary positions.
            bias: See `attend`.
            cache: What came before, and the number of this block in it.
        """
        width = x.shape[-1]
        both, v = self.inward(x).split((2 * width, width), -1)
        both = both.unflatten(-1, (2 * self.heads, -1)).transpose(1, 2)  # (b,t,2d) -> (b,2h,t,e)
        v = v.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        if rotation is not None:
            both = rotate(both, rotation)  # queries and keys at once
        q, k = both.chunk(2, 1)
        if cache is not None:
            k, v = cache[0].extend(cache[1], k, v)
        read = attend(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.outward(read.transpose(1, 2).flatten(2))


def attend(
    q: Float[Tensor, "b h t e"],
    k: Float[Tensor, "b h s e"],
    v: Float[Tensor, "b h s e"],
    bias: Float[Tensor, "..."],
    dropout: float,
) -> Float[Tensor, "b h t e"]:
    """softmax(q·kᵀ/√e + bias)·v.

    Written out: at a few hundred tokens the scores are small, and torch's fused kernel for the CPU takes as long in
    float32 and four times as long in bfloat16, most of it backwards.

    Source: Vaswani et al. 2017, eq. 1.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        bias: 0 where a query may read a key, −∞ where not; broadcast to (b,h,t,s).
        dropout: Probability that a weight is dropped.
    """
    shape = (*q.shape[:3], k.shape[2])
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    spread = bias.expand(shape).flatten(0, 1) if bias.ndim > 2 else bias.expand(q.shape[0], *shape[2:])
    scores = torch.baddbmm(spread, q, k.transpose(1, 2), alpha=1 / math.sqrt(q.shape[-1]))  # (bh,t,s)
    return (F.dropout(scores.softmax(-1), dropout) @ v).unflatten(0, shape[:2])


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream (pre-norm)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size.width, bias=size.bias)
        self.attention = Attention(size)
        self.feed_norm = nn.LayerNorm(size.width, bias=size.bias)
        self.up = nn.Linear(size.width, 4 * size.width, bias=size.bias)
        self.down = nn.Linear(4 * size.width, size.width, bias=size.bias)
        self.dropout = nn.Dropout(size.dropout)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        rotation: Float[Tensor, "2 t e"] | None,
        bias: Float[Tensor, "..."],
        cache: tuple[Cache, int] | None,
    ) -> Float[Tensor, "b t d"]:
        """One block; arguments as in Attention."""
        x = x + self.dropout(self.attention(self.attention_norm(x), rotation, bias, cache))
        return x + self.dropout(self.down(F.gelu(self.up(self.feed_norm(x)), approximate="tanh")))


class TransformerLM(nn.Module):
    """Token ids → scores of the next token (causal) or of the token at each place (bidirectional).

    The matrix that embeds tokens also scores them (weight tying, Press and Wolf 2017). Weights start as GPT-2's: normal
    of 0.02, and of 0.02/√(2·layers) where a sublayer writes to the stream (Radford et al. 2019, §2.3).

    >>> model = TransformerLM(Size(vocabulary=50, context=8, layers=2, heads=2, width=16))
    >>> model(torch.zeros(3, 8, dtype=torch.long)).shape
    torch.Size([3, 8, 50])
    """

    rotations: Float[Tensor, "2 c e"]

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.tokens = nn.Embedding(size.vocabulary, size.width)
        self.places = nn.Embedding(size.context, size.width) if size.positions == "learned" else None
        self.dropout = nn.Dropout(size.dropout)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width, bias=size.bias)
        self.head = nn.Linear(size.width, size.vocabulary, bias=False)
        self.register_buffer("rotations", rotations(size.context, size.width // size.heads), persistent=False)
        self.apply(_start)
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.outward.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * size.layers))
        self.head.weight = self.tokens.weight

    def forward(
        self,
        ids: Int[Tensor, "b t"],
        readable: Bool[Tensor, "b t"] | None = None,
        *,
        cache: Cache | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Scores before the softmax.

        Args:
            ids: Tokens.
            readable: False on padding, which nobody reads; None if there is none.
            cache: Keys and values of the tokens before; extended in place. Then `readable` is not for use.

        Raises:
            UserError: If the sequence, with what is cached, is longer than the context.
        """
        return self.head(self.hidden(ids, readable, cache=cache))

    def hidden(
        self, ids: Int[Tensor, "b t"], readable: Bool[Tensor, "b t"] | None = None, *, cache: Cache | None = None
    ) -> Float[Tensor, "b t d"]:
        """Last hidden states; arguments as in `forward`."""
        before = cache.length if cache else 0
        end = before + ids.shape[1]
        if end > self.size.context:
            raise UserError(f"{end} tokens; the model's context is {self.size.context}")
        x = self.tokens(ids)
        rotation = None
        if self.places is not None:
            x = x + self.places.weight[before:end]
        else:
            rotation = self.rotations[:, before:end]
        x = self.dropout(x)
        bias = attention_bias(x, readable, causal=self.size.causal, before=before)
        for number, block in enumerate(self.blocks):
            x = block(x, rotation, bias, None if cache is None else (cache, number))
        return self.norm(x)

    def loss(
        self, ids: Int[Tensor, "b t"], labels: Int[Tensor, "b t"], readable: Bool[Tensor, "b t"] | None = None
    ) -> tuple[Float[Tensor, ""], int]:
        """Summed cross-entropy in nats and the number of labels; −100 is none.

        Labels stand where they are predicted: the collator has shifted those of the causal objective.
        """
        chosen = labels != -100
        # Scores are computed where there is a label: of a masked batch that is one place in seven.
        scores = self.head(self.hidden(ids, readable)[chosen])
        return F.cross_entropy(scores, labels[chosen], reduction="sum"), int(chosen.sum())


def rotations(context: int, width: int) -> Float[Tensor, "2 c e"]:
    """Cosine and sine of position × frequency, each frequency twice; the first half of the sines negated.

    Source: Su et al. 2021, "RoFormer", §3.2.2: frequencies 10000^(−2i/e).
    """
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2).float() / width)
    angles = torch.arange(context).float()[:, None] * frequencies
    return torch.stack([angles.cos().repeat(1, 2), torch.cat([-angles.sin(), angles.sin()], 1)])


def rotate(x: Float[Tensor, "b h t e"], rotation: Float[Tensor, "2 t e"]) -> Float[Tensor, "b h t e"]:
    """Turn the pairs (i, i + e/2) of each head by their position's angles."""
    return torch.addcmul(x * rotation[0], x.roll(x.shape[-1] // 2, -1), rotation[1])


def attention_bias(
    x: Float[Tensor, "b t d"], readable: Bool[Tensor, "b t"] | None, *, causal: bool, before: int = 0
) -> Float[Tensor, "..."]:
    """0 where a position may read another, −∞ where not: in the future, or on padding.

    Args:
        x: Of these positions.
        readable: False on padding.
        causal: Whether the future is hidden.
        before: Cached positions, which every new one may read.
    """
    time = x.shape[1]
    bias = x.new_zeros(1, 1)
    if causal:
        bias = x.new_full((time, before + time), -torch.inf).triu(before + 1)
    if readable is None:
        return bias
    return bias + x.new_zeros(readable.shape).masked_fill(~readable, -torch.inf)[:, None, None, :]


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


GPT2_BLOCK = {
    "attention_norm": "ln_1",
    "attention.inward": "attn.c_attn",
    "attention.outward": "attn.c_proj",
    "feed_norm": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}


def gpt2_weights(theirs: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The state of our model from that of a GPT2LMHeadModel. Its linear layers are transposed (Conv1D).

    Args:
        theirs: Its state_dict.
        layers: Number of blocks.
    """
    mine = {
        "tokens.weight": theirs["transformer.wte.weight"],
        "places.weight": theirs["transformer.wpe.weight"],
        "norm.weight": theirs["transformer.ln_f.weight"],
        "norm.bias": theirs["transformer.ln_f.bias"],
        "head.weight": theirs["transformer.wte.weight"],
    }
    for layer in range(layers):
        for ours, name in GPT2_BLOCK.items():
            for kind in ("weight", "bias"):
                tensor = theirs[f"transformer.h.{layer}.{name}.{kind}"]
                turned = kind == "weight" and not name.startswith("ln")
                mine[f"blocks.{layer}.{ours}.{kind}"] = tensor.t().contiguous() if turned else tensor
    return mine
