"""A Transformer encoder, written out: embeddings, attention, feed-forward, blocks, and heads for texts and for words.

The order of norm and sum is a flag: after the sum (Vaswani et al. 2017; BERT) or before the sublayer (Xiong et al.
2020). `encoder_from_bert` copies a pretrained BERT into it; the hidden states are then the same to 1e-5.
"""

# b batch · t time · d hidden size · f intermediate size · h heads · e size of one head · c classes

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shared.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shapes and constants of an encoder.

    Attributes:
        context_length: Longest text, in tokens.
        num_heads: Divides `hidden_size`.
        intermediate_size: Inner size f of the feed-forward part.
        type_vocab_size: Segments that BERT tells apart; every token here is of the first one.
        dropout: Probability after the embeddings, inside attention and after each sublayer.
        layer_norm_eps: Added to the variance in a norm.
        norm_first: Norm before each sublayer instead of after the sum; one more norm then ends the stack.
    """

    vocab_size: int
    context_length: int = 512
    hidden_size: int = 384
    num_layers: int = 6
    num_heads: int = 12
    intermediate_size: int = 1536
    type_vocab_size: int = 2
    dropout: float = 0.1
    layer_norm_eps: float = 1e-12
    norm_first: bool = False


class Embeddings(nn.Module):
    """Sum of the embeddings of token, position and segment, normed."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.context_length, config.hidden_size)
        self.segment_embedding = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Vectors of the tokens, before the first block."""
        position = torch.arange(input_ids.shape[1], device=input_ids.device)
        summed = self.token_embedding(input_ids) + self.position_embedding(position) + self.segment_embedding.weight[0]
        return self.dropout(self.norm(summed))


class SelfAttention(nn.Module):
    """Multi-head attention without residual and norm, which are the block's."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise UserError(f"a hidden size of {hidden_size} does not divide into {num_heads} heads")
        self.num_heads, self.attention_dropout = num_heads, dropout
        self.query, self.key, self.value, self.output = (nn.Linear(hidden_size, hidden_size) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t d"], attention_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Attend from every position to those where `attention_mask` is true: real tokens, and no padding."""
        q, k, v = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        dropout = self.attention_dropout if self.training else 0.0
        mask = attention_mask[:, None, None, :]  # (b,1,1,t): the same for every head and every query
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.dropout(self.output(attended.transpose(1, 2).flatten(2)))  # (b,h,t,e) -> (b,t,d)

    def _split(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b h t e"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers on each position, without residual and norm, which are the block's."""

    def __init__(self, hidden_size: int, intermediate_size: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(hidden_size, intermediate_size)
        self.down = nn.Linear(intermediate_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """(b,t,d) -> (b,t,f) -> (b,t,d)."""
        return self.dropout(self.down(F.gelu(self.up(x))))


class Block(nn.Module):
    """Attention and feed-forward, each with a residual sum and a norm.

    The two sublayers are modules of their own that return what is to be summed: a hook on one of them sees its input
    and its output before residual and norm, which is where adapters belong.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm_first = config.norm_first
        self.attention = SelfAttention(config.hidden_size, config.num_heads, config.dropout)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size, config.dropout)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Float[Tensor, "b t d"], attention_mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Hidden states after the block; `attention_mask` as in SelfAttention."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), attention_mask)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, attention_mask))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerEncoder(nn.Module):
    """Embeddings and a stack of blocks; weights start as BERT's do, normal of 0.02 and zero biases."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.final_norm = norm if config.norm_first else nn.Identity()
        self.apply(init_weights)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Hidden states of the last block; attention_mask is 1 on real tokens and 0 on padding."""
        x = self.embeddings(input_ids)
        for block in self.blocks:
            x = block(x, attention_mask.bool())
        return self.final_norm(x)


class SequenceClassifier(nn.Module):
    """Class scores of a text, from the mean of its tokens (Reimers and Gurevych 2019, §3)."""

    def __init__(self, encoder: TransformerEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, classes)
        init_weights(self.head)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b c"]:
        """Scores before the softmax."""
        return self.head(mean_over_tokens(self.encoder(input_ids, attention_mask), attention_mask))


class TokenClassifier(nn.Module):
    """Class scores of every token of a text."""

    def __init__(self, encoder: TransformerEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, classes)
        init_weights(self.head)

    def forward(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b t c"]:
        """Scores before the softmax."""
        return self.head(self.encoder(input_ids, attention_mask))


def mean_over_tokens(hidden: Float[Tensor, "b t d"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
    """The mean of the hidden states whose mask is 1; a row without any gives zeros."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)  # (b,t,1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)


# Names of our parts → BERT's, those of a block without its number.
BERT_NAMES = {
    "embeddings.token_embedding": "embeddings.word_embeddings",
    "embeddings.position_embedding": "embeddings.position_embeddings",
    "embeddings.segment_embedding": "embeddings.token_type_embeddings",
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
BERT_CONFIG = {
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "type_vocab_size": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "layer_norm_eps": "layer_norm_eps",
}


def encoder_from_bert(bert: nn.Module) -> TransformerEncoder:
    """Our encoder with the weights of a pretrained BERT (a transformers BertModel; its pooler is left out).

    Raises:
        UserError: If the model is no BERT, or of a kind that this encoder does not compute.
    """
    encoder = TransformerEncoder(model_config_of(getattr(bert, "config", None)))
    pretrained, weights = bert.state_dict(), {}
    for name in encoder.state_dict():
        part, _, tensor = name.rpartition(".")
        source = f"{_bert_name(part)}.{tensor}"
        if source not in pretrained:
            raise UserError(f"the pretrained model has no {source}: it is no BERT that this encoder can take over")
        weights[name] = pretrained[source]
    encoder.load_state_dict(weights)
    return encoder.eval()


def model_config_of(bert_config: object) -> ModelConfig:
    """Our names for what a BERT's configuration says.

    Raises:
        UserError: If the configuration is of another architecture or activation.
    """
    kind, act = getattr(bert_config, "model_type", None), getattr(bert_config, "hidden_act", None)
    if kind != "bert" or act != "gelu":
        raise UserError(f"--model: a model of type {kind} with activation {act}; this encoder takes BERT with gelu")
    return ModelConfig(**{ours: getattr(bert_config, theirs) for ours, theirs in BERT_CONFIG.items()})


def _bert_name(part: str) -> str:
    if part in BERT_NAMES:
        return BERT_NAMES[part]
    _, number, rest = part.split(".", 2)  # blocks.3.attention.query
    return f"encoder.layer.{number}.{BERT_BLOCK_NAMES[rest]}"


def init_weights(module: nn.Module) -> None:
    """BERT's initialisation of a linear layer or an embedding; other modules are left alone."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
