"""A small Transformer language model: causal, to write text, or bidirectional, to fill masked tokens; a flag decides.

With learned positions, biases and tanh-GELU it computes what GPT-2 computes: `gpt2_weights` copies a GPT2LMHeadModel
into it. Rotary positions are the other choice. Generation keeps keys and values: a new token costs one token's work.
"""

# b batch · t time · s time so far · d hidden size · h heads · e size of one head · v vocabulary

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shared.errors import UserError

Positions = Literal["learned", "rotary"]
NO_LABEL = -100  # cross_entropy's ignore_index


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything that the shapes of the model depend on.

    Attributes:
        context_length: Longest sequence, in tokens.
        num_heads: Attention heads of a block; divides the hidden size.
        causal: Whether a position attends only to itself and to earlier ones.
        positions: A learned vector each, or rotations of queries and keys.
        bias: Whether linear layers and norms have one (GPT-2: yes; nanoGPT's small recipe: no).
        dropout: Probability, after embeddings, in attention and after each sublayer.
    """

    vocab_size: int
    context_length: int = 128
    num_layers: int = 4
    num_heads: int = 4
    hidden_size: int = 128
    causal: bool = True
    positions: Positions = "learned"
    bias: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit."""
        for name in ("vocab_size", "context_length", "num_layers", "num_heads", "hidden_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.hidden_size % self.num_heads:
            raise UserError(f"a width of {self.hidden_size} does not divide into {self.num_heads} heads")
        if self.positions == "rotary" and self.head_size % 2:
            raise UserError(f"rotary positions turn pairs: a head of width {self.head_size} has an odd one")

    @property
    def head_size(self) -> int:
        """Width of one attention head, e."""
        return self.hidden_size // self.num_heads


@dataclass
class KVCache:
    """Keys and values of every block so far, one tensor [b, h, s, e] a block."""

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def empty(cls) -> "KVCache":
        """The cache before the first token."""
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
    """Multi-head self-attention; one matrix makes queries, keys and values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.bias)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=config.bias)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        rotary: Float[Tensor, "2 t e"] | None,
        bias: Float[Tensor, "..."],
        cache: tuple[KVCache, int] | None,
    ) -> Float[Tensor, "b t d"]:
        """Attend.

        Args:
            x: Hidden states behind the norm.
            rotary: Cosines and sines of these positions, for rotary positions.
            bias: Added to the scores, as in `attend`.
            cache: What came before, and the number of this block in it.
        """
        hidden_size = x.shape[-1]
        qk, v = self.qkv_proj(x).split((2 * hidden_size, hidden_size), -1)
        qk = qk.unflatten(-1, (2 * self.num_heads, -1)).transpose(1, 2)  # (b,t,2d) -> (b,2h,t,e)
        v = v.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        if rotary is not None:
            qk = apply_rotary(qk, rotary)  # queries and keys at once
        q, k = qk.chunk(2, 1)
        if cache is not None:
            k, v = cache[0].extend(cache[1], k, v)
        attended = attend(q, k, v, bias, self.dropout if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


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
        bias: 0 where a query may attend to a key, −∞ where not; broadcast to (b,h,t,s).
        dropout: Probability that an attention weight is dropped.
    """
    shape = (*q.shape[:3], k.shape[2])
    q, k, v = (each.flatten(0, 1) for each in (q, k, v))
    bias = bias.expand(shape).flatten(0, 1) if bias.ndim > 2 else bias.expand(q.shape[0], *shape[2:])
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=1 / math.sqrt(q.shape[-1]))  # (bh,t,s)
    return (F.dropout(scores.softmax(-1), dropout) @ v).unflatten(0, shape[:2])


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream (pre-norm)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.attention_norm = nn.LayerNorm(width, bias=config.bias)
        self.attention = Attention(config)
        self.mlp_norm = nn.LayerNorm(width, bias=config.bias)
        self.up_proj = nn.Linear(width, 4 * width, bias=config.bias)
        self.down_proj = nn.Linear(4 * width, width, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        rotary: Float[Tensor, "2 t e"] | None,
        bias: Float[Tensor, "..."],
        cache: tuple[KVCache, int] | None,
    ) -> Float[Tensor, "b t d"]:
        """Apply the block; arguments as in `Attention.forward`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), rotary, bias, cache))
        return x + self.dropout(self.down_proj(F.gelu(self.up_proj(self.mlp_norm(x)), approximate="tanh")))


class TransformerLM(nn.Module):
    """Token ids → logits of the next token (causal) or of the token at each position (bidirectional).

    The embedding matrix is also the output matrix (weight tying, Press and Wolf 2017). Weights start as GPT-2's: normal
    with standard deviation 0.02, and 0.02/√(2·layers) where a sublayer writes to the residual stream (Radford et al.
    2019, §2.3).

    >>> model = TransformerLM(ModelConfig(vocab_size=50, context_length=8, num_layers=2, num_heads=2, hidden_size=16))
    >>> model(torch.zeros(3, 8, dtype=torch.long)).shape
    torch.Size([3, 8, 50])
    """

    rotary: Float[Tensor, "2 c e"]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, learned = config.hidden_size, config.positions == "learned"
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.position_embedding = nn.Embedding(config.context_length, width) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_norm = nn.LayerNorm(width, bias=config.bias)
        self.lm_head = nn.Linear(width, config.vocab_size, bias=False)
        self.register_buffer("rotary", rotary_cos_sin(config.context_length, config.head_size), persistent=False)
        self.apply(init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith(("out_proj.weight", "down_proj.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.num_layers))
        self.lm_head.weight = self.token_embedding.weight

    def forward(
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Bool[Tensor, "b t"] | None = None,
        *,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "b t v"]:
        """Logits of every position.

        Args:
            input_ids: Tokens, at most `context_length` with those in the cache.
            attention_mask: False on padding, to which no position attends; None if there is none.
            cache: Keys and values of the tokens before, extended in place; only without an attention mask.

        Raises:
            UserError: If the sequence, with what is cached, is longer than the context.
        """
        return self.lm_head(self.hidden_states(input_ids, attention_mask, cache=cache))

    def hidden_states(
        self,
        input_ids: Int[Tensor, "b t"],
        attention_mask: Bool[Tensor, "b t"] | None = None,
        *,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "b t d"]:
        """Last hidden states; arguments as in `forward`."""
        past = cache.length if cache else 0
        end = past + input_ids.shape[1]
        if end > self.config.context_length:
            raise UserError(f"{end} tokens; the model's context is {self.config.context_length}")
        x = self.token_embedding(input_ids)
        rotary = None
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[past:end]
        else:
            rotary = self.rotary[:, past:end]
        x = self.dropout(x)
        bias = attention_bias(x, attention_mask, causal=self.config.causal, past=past)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotary, bias, None if cache is None else (cache, layer))
        return self.final_norm(x)

    def loss(
        self,
        input_ids: Int[Tensor, "b t"],
        labels: Int[Tensor, "b t"],
        attention_mask: Bool[Tensor, "b t"] | None = None,
    ) -> tuple[Float[Tensor, ""], int]:
        """Summed cross-entropy in nats, and the number of labels; NO_LABEL is none.

        Labels stand where they are predicted: the collator has shifted those of the causal objective.
        """
        labelled = labels != NO_LABEL
        # Logits are computed only where there is a label: in a masked batch, at one position in seven.
        logits = self.lm_head(self.hidden_states(input_ids, attention_mask)[labelled])
        return F.cross_entropy(logits, labels[labelled], reduction="sum"), int(labelled.sum())


def rotary_cos_sin(context_length: int, head_size: int) -> Float[Tensor, "2 c e"]:
    """Cosine and sine of position × frequency, each frequency twice; the first half of the sines negated.

    Source: Su et al. 2021, "RoFormer", §3.2.2: frequencies 10000^(−2i/e).
    """
    frequencies = 10_000.0 ** (-torch.arange(0, head_size, 2).float() / head_size)
    angles = torch.arange(context_length).float()[:, None] * frequencies
    return torch.stack([angles.cos().repeat(1, 2), torch.cat([-angles.sin(), angles.sin()], 1)])


def apply_rotary(x: Float[Tensor, "b h t e"], rotary: Float[Tensor, "2 t e"]) -> Float[Tensor, "b h t e"]:
    """Rotate the pairs (i, i + e/2) of each head by the angles of their position."""
    cos, sin = rotary
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def attention_bias(
    x: Float[Tensor, "b t d"], attention_mask: Bool[Tensor, "b t"] | None, *, causal: bool, past: int = 0
) -> Float[Tensor, "..."]:
    """0 where a position may attend to another, −∞ where not: in the future, or on padding.

    Args:
        x: Hidden states, for their device and dtype.
        attention_mask: False on padding.
        causal: Whether the future is hidden.
        past: Cached positions, to which every new one may attend.
    """
    time = x.shape[1]
    bias = x.new_zeros(1, 1)
    if causal:
        bias = x.new_full((time, past + time), -torch.inf).triu(past + 1)
    if attention_mask is None:
        return bias
    return bias + x.new_zeros(attention_mask.shape).masked_fill(~attention_mask, -torch.inf)[:, None, None, :]


def init_weights(module: nn.Module) -> None:
    """Initialise a linear layer or an embedding as GPT-2 does."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


GPT2_BLOCK = {
    "attention_norm": "ln_1",
    "attention.qkv_proj": "attn.c_attn",
    "attention.out_proj": "attn.c_proj",
    "mlp_norm": "ln_2",
    "up_proj": "mlp.c_fc",
    "down_proj": "mlp.c_proj",
}


def gpt2_weights(gpt2: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    """Translate the state_dict of a GPT2LMHeadModel into one of ours; its linear layers are transposed (Conv1D)."""
    weights = {
        "token_embedding.weight": gpt2["transformer.wte.weight"],
        "position_embedding.weight": gpt2["transformer.wpe.weight"],
        "final_norm.weight": gpt2["transformer.ln_f.weight"],
        "final_norm.bias": gpt2["transformer.ln_f.bias"],
        "lm_head.weight": gpt2["transformer.wte.weight"],
    }
    for layer in range(num_layers):
        for ours, name in GPT2_BLOCK.items():
            for kind in ("weight", "bias"):
                tensor = gpt2[f"transformer.h.{layer}.{name}.{kind}"]
                transposed = kind == "weight" and not name.startswith("ln")
                weights[f"blocks.{layer}.{ours}.{kind}"] = tensor.t().contiguous() if transposed else tensor
    return weights
