"""A Transformer encoder, written out: embeddings, attention, feed-forward, blocks, and heads for texts and for words.

The order of norm and sum is a flag: after the sum (Vaswani et al. 2017; BERT) or before the sublayer (Xiong et al.
2020). `encoder_from_bert` copies a pretrained BERT into it; the hidden states are then the same to 1e-5.
"""

# b batch · t time · d width · f inner width of the feed-forward part · h heads · e width of one head · c classes

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shared.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Size:
    """Everything that the shape of an encoder depends on.

    Attributes:
        vocabulary: Number of token ids.
        positions: Longest text in tokens.
        width: Of the hidden states, d.
        layers: Number of blocks.
        heads: Of each attention; divides the width.
        inner: Width f between the two feed-forward layers.
        types: Segments that BERT tells apart; here always the first.
        dropout: Probability, after embeddings, inside attention and after each sublayer.
        epsilon: Added to the variance in a norm.
        norm_first: Norm before the sublayer instead of after the sum; then one more norm ends the stack.
    """

    vocabulary: int
    positions: int = 512
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1536
    types: int = 2
    dropout: float = 0.1
    epsilon: float = 1e-12
    norm_first: bool = False


class Embeddings(nn.Module):
    """Sum of what a token is, where it stands, and its segment; normed."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.words = nn.Embedding(size.vocabulary, size.width)
        self.positions = nn.Embedding(size.positions, size.width)
        self.types = nn.Embedding(size.types, size.width)
        self.norm = nn.LayerNorm(size.width, eps=size.epsilon)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, input_ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Vectors of a text's tokens."""
        time = torch.arange(input_ids.shape[1], device=input_ids.device)
        summed = self.words(input_ids) + self.positions(time) + self.types.weight[0]
        return self.dropout(self.norm(summed))


class SelfAttention(nn.Module):
    """Every position reads every real position. What it returns is not yet summed with what it was given."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"a width of {width} does not divide into {heads} heads")
        self.heads, self.attention_dropout = heads, dropout
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t d"], readable: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Attend; `readable` is true on real tokens and false on padding, which nobody reads."""
        q, k, v = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        dropout = self.attention_dropout if self.training else 0.0
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=readable[:, None, None, :], dropout_p=dropout)
        return self.dropout(self.output(read.transpose(1, 2).flatten(2)))  # (b,h,t,e) -> (b,t,d)

    def _split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two layers on each position for itself. What it returns is not yet summed with what it was given."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """(b,t,d) -> (b,t,f) -> (b,t,d)."""
        return self.dropout(self.down(F.gelu(self.up(x))))


class Block(nn.Module):
    """Attention and feed-forward, each with a residual sum and a norm.

    The two sublayers are modules of their own that return what is to be summed: a hook on one of them sees its input
    and its output before residual and norm, which is where adapters belong.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.norm_first = size.norm_first
        self.attention = SelfAttention(size.width, size.heads, size.dropout)
        self.attention_norm = nn.LayerNorm(size.width, eps=size.epsilon)
        self.feed_forward = FeedForward(size.width, size.inner, size.dropout)
        self.feed_forward_norm = nn.LayerNorm(size.width, eps=size.epsilon)

    def forward(self, x: Float[Tensor, "b t d"], readable: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """One block; `readable` as in SelfAttention."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), readable)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, readable))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerEncoder(nn.Module):
    """Embeddings and a stack of blocks; weights start as BERT's do, normal of 0.02 and zero biases."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.embeddings = Embeddings(size)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.final_norm = nn.LayerNorm(size.width, eps=size.epsilon) if size.norm_first else nn.Identity()
        self.apply(_start)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Hidden states of the last block; attention_mask is 1 on real tokens and 0 on padding."""
        readable = attention_mask.bool()
        x = self.embeddings(input_ids)
        for block in self.blocks:
            x = block(x, readable)
        return self.final_norm(x)


class SequenceClassifier(nn.Module):
    """Class scores of a text, from the mean of its tokens (Reimers and Gurevych 2019, §3)."""

    def __init__(self, encoder: TransformerEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.size.width, classes)
        _start(self.head)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b c"]:
        """Scores before the softmax."""
        return self.head(mean_over_tokens(self.encoder(input_ids, attention_mask), attention_mask))


class TokenClassifier(nn.Module):
    """Class scores of every token of a text."""

    def __init__(self, encoder: TransformerEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.size.width, classes)
        _start(self.head)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b t c"]:
        """Scores before the softmax."""
        return self.head(self.encoder(input_ids, attention_mask))


def mean_over_tokens(hidden: Float[Tensor, "b t d"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
    """The mean of the hidden states whose mask is 1; a row without any gives zeros."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (b,t,1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


# Where each part of BERT's state goes; {} is the number of the block.
BERT_NAMES = {
    "embeddings.words": "embeddings.word_embeddings",
    "embeddings.positions": "embeddings.position_embeddings",
    "embeddings.types": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}
BERT_BLOCK_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}


def encoder_from_bert(bert: nn.Module) -> TransformerEncoder:
    """Our encoder with the weights of a pretrained BERT (a transformers BertModel; its pooler is left out).

    Raises:
        UserError: If the model is no BERT, or of a kind that this encoder does not compute.
    """
    size = size_of(getattr(bert, "config", None))
    encoder = TransformerEncoder(size)
    theirs, mine = bert.state_dict(), {}
    for name in encoder.state_dict():
        part, _, tensor = name.rpartition(".")
        source = f"{_bert_name(part)}.{tensor}"
        if source not in theirs:
            raise UserError(f"the pretrained model has no {source}: it is no BERT that this encoder can take over")
        mine[name] = theirs[source]
    encoder.load_state_dict(mine)
    return encoder.eval()


def size_of(config: object) -> Size:
    """The size that a BERT's configuration describes.

    Raises:
        UserError: If the configuration is of another architecture or activation.
    """
    kind, act = getattr(config, "model_type", None), getattr(config, "hidden_act", None)
    if kind != "bert" or act != "gelu":
        raise UserError(f"--model: a model of type {kind} with activation {act}; this encoder takes BERT with gelu")
    return Size(
        vocabulary=config.vocab_size,  # type: ignore[attr-defined]
        positions=config.max_position_embeddings,  # type: ignore[attr-defined]
        width=config.hidden_size,  # type: ignore[attr-defined]
        layers=config.num_hidden_layers,  # type: ignore[attr-defined]
        heads=config.num_attention_heads,  # type: ignore[attr-defined]
        inner=config.intermediate_size,  # type: ignore[attr-defined]
        types=config.type_vocab_size,  # type: ignore[attr-defined]
        dropout=config.hidden_dropout_prob,  # type: ignore[attr-defined]
        epsilon=config.layer_norm_eps,  # type: ignore[attr-defined]
    )


def _bert_name(part: str) -> str:
    if part in BERT_NAMES:
        return BERT_NAMES[part]
    _, number, rest = part.split(".", 2)  # blocks.3.attention.query
    return f"encoder.layer.{number}.{BERT_BLOCK_NAMES[rest]}"


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
