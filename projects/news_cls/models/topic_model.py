"""An encoder with a head of topics, cut in two: lower layers that stay as they are, upper ones that learn.

What the lower layers make of a text never changes while training, so that it is computed once and kept
(`kept_states`): with two of six layers on top, a step costs a third of what it would.

p pieces · b articles · t tokens · d width · k topics
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from projects.news_cls.models.lengths import LengthPolicy
from shared import devices
from shared.assets import load_encoder
from shared.errors import UserError
from shared.progress import track

PIECES_AT_ONCE = 32
E5_PREFIX = "query: "
"""What e5 was trained to read before a text that is classified. Source: Wang et al. 2024, "Multilingual E5", §2."""


@dataclass
class Pieces:
    """Articles on their way to a head: the states that enter the upper layers, piece by piece.

    Attributes:
        states: (t, d) of each piece, half precision.
        owner: Article of each piece, in order.
        articles: How many there are.
    """

    states: list[Tensor]
    owner: list[int]
    articles: int
    _of: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for piece, article in enumerate(self.owner):
            self._of.setdefault(article, []).append(piece)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each article's longest piece."""
        return [max(len(self.states[piece]) for piece in self._of[article]) for article in range(self.articles)]

    def batch(self, rows: Sequence[int]) -> Batch:
        """The pieces of these articles, padded."""
        pieces = [(row, piece) for row, article in enumerate(rows) for piece in self._of[article]]
        own = [self.states[piece].float() for _, piece in pieces]
        mask = torch.zeros(len(own), max(map(len, own)), dtype=torch.bool)
        for number, each in enumerate(own):
            mask[number, : len(each)] = True
        states = nn.utils.rnn.pad_sequence(own, batch_first=True)
        return Batch(states, mask, torch.tensor([row for row, _ in pieces]), len(rows))

    def __add__(self, other: Pieces) -> Pieces:
        """These articles, then the others."""
        owner = [*self.owner, *(self.articles + each for each in other.owner)]
        return Pieces([*self.states, *other.states], owner, self.articles + other.articles)

    def select(self, rows: Sequence[int]) -> Pieces:
        """A part of the articles, in this order."""
        pieces = [(new, piece) for new, article in enumerate(rows) for piece in self._of[article]]
        return Pieces([self.states[piece] for _, piece in pieces], [new for new, _ in pieces], len(rows))


@dataclass(frozen=True)
class Batch:
    """Padded pieces: states or embeddings (p, t, d), mask (p, t), article of each piece (p), number of articles."""

    states: Float[Tensor, "p t d"]
    mask: Bool[Tensor, "p t"]
    owner: Int[Tensor, " p"]
    articles: int


class TopicModel(nn.Module):
    """A bidirectional encoder, mean pooling, and a linear head.

    Args:
        model: Embedded name, folder or hub id (shared/assets).
        labels: Topics, in the order of the head's rows.
        policy: What is read of a text.
        upper: Layers that are trained, from the top; all of them is full fine-tuning, embeddings excepted.

    Raises:
        UserError: If the model is none that has a list of layers, or `upper` is more than it has.
    """

    def __init__(
        self, model: str, labels: Sequence[str], policy: LengthPolicy, *, upper: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.name, self.labels, self.policy, self.upper = model, tuple(labels), policy, upper
        self.encoder, self.tokenizer = load_encoder(model, max_length=policy.tokens)
        self.layers: nn.ModuleList = find_layers(self.encoder, model)
        if not 0 <= upper <= len(self.layers):
            raise UserError(f"--upper {upper}: {model} has {len(self.layers)} layers")
        self.encoder.requires_grad_(False)
        for layer in self.layers[len(self.layers) - upper :]:
            layer.requires_grad_(True)
        self.prefix = E5_PREFIX if "e5" in model.lower() else ""
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, len(self.labels))

    @torch.no_grad()
    def set_head(self, weight: Float[Tensor, "k d"], bias: Float[Tensor, " k"]) -> None:
        """Copy weights into the head."""
        self.head.weight.copy_(weight)
        self.head.bias.copy_(bias)

    def keep_layers(self) -> None:
        """Train nothing but the head."""
        self.upper = 0
        self.encoder.requires_grad_(False)

    @property
    def cut(self) -> int:
        """Number of the first layer that is trained."""
        return len(self.layers) - self.upper

    def pieces(self, text: str) -> list[list[int]]:
        """Token ids of the pieces that the policy reads of a text."""
        ids = self.tokenizer(self.prefix + text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return self.policy.pieces(ids, self.tokenizer.cls_token_id, self.tokenizer.sep_token_id)

    @property
    def opening(self) -> int:
        """Tokens before an article's first word: [CLS], and the prefix of an encoder that has one."""
        return 1 + len(self.tokenizer(self.prefix, add_special_tokens=False)["input_ids"])

    def embedded(self, ids: Int[Tensor, "p t"]) -> Float[Tensor, "p t d"]:
        """Embeddings of tokens and places, where attributions begin."""
        found: Tensor = self.encoder.embeddings(ids)
        return found

    def through(
        self, states: Float[Tensor, "p t d"], mask: Bool[Tensor, "p t"], first: int, last: int | None = None
    ) -> Float[Tensor, "p t d"]:
        """States behind the layers `first` to `last` (not included)."""
        lowest = torch.finfo(states.dtype).min
        additive = torch.zeros_like(mask, dtype=states.dtype).masked_fill(~mask, lowest)[:, None, None, :]  # (p,1,1,t)
        for layer in self.layers[first:last]:
            states = layer(states, attention_mask=additive)
        return states

    def pool(self, states: Float[Tensor, "p t d"], batch: Batch) -> Float[Tensor, "b d"]:
        """Mean over the tokens of each piece, then over the pieces of each article, brought to the length √d.

        Cosine is what MiniLM was trained for; with √d a coordinate has size 1, whatever the width.
        """
        weights = batch.mask.unsqueeze(-1).to(states.dtype)
        each = (states * weights).sum(1) / weights.sum(1)  # (p,d)
        sums = each.new_zeros(batch.articles, each.shape[1]).index_add(0, batch.owner, each)
        return normalize(sums, dim=1) * each.shape[1] ** 0.5

    def embed(self, batch: Batch) -> Float[Tensor, "b d"]:
        """Embeddings of articles from kept states."""
        return self.pool(self.through(batch.states, batch.mask, self.cut), batch)

    def forward(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Logits from kept states."""
        found: Tensor = self.head(self.dropout(self.embed(batch)))
        return found


def find_layers(encoder: nn.Module, name: str) -> nn.ModuleList:
    """The layers of an encoder, from the bottom.

    Raises:
        UserError: If it keeps them elsewhere than BERT, RoBERTa and DistilBERT do.
    """
    for path in ("encoder.layer", "transformer.layer"):  # BERT, RoBERTa, XLM-R …; DistilBERT
        found: Any = encoder
        for part in path.split("."):
            found = getattr(found, part, None)
        if isinstance(found, nn.ModuleList):
            return found
    raise UserError(f"--model {name}: not an encoder whose layers are known (BERT, RoBERTa, DistilBERT)")


# ---------------------------------------------------------------- from texts to states, embeddings, logits


@torch.no_grad()
def kept_states(model: TopicModel, texts: Sequence[str], *, precision: devices.Precision = "auto") -> Pieces:
    """What the lower layers make of each text, in half precision: 0.1 MB for 128 tokens of MiniLM."""
    model.eval()
    pieces = [(article, ids) for article, text in enumerate(texts) for ids in model.pieces(text)]
    order = sorted(range(len(pieces)), key=lambda row: len(pieces[row][1]))
    states: list[Tensor] = [torch.empty(0)] * len(pieces)
    starts = range(0, len(order), PIECES_AT_ONCE)
    for start in track(starts, description="encoding", total=len(starts)):
        rows = order[start : start + PIECES_AT_ONCE]
        ids, mask = padded([pieces[row][1] for row in rows], model.tokenizer.pad_token_id)
        with autocast(precision):
            found = model.through(model.embedded(ids), mask, 0, model.cut)
        for row, each, own in zip(rows, found, mask, strict=True):
            states[row] = each[own].half()
    return Pieces(states, [article for article, _ in pieces], len(texts))


def padded(pieces: Sequence[Sequence[int]], pad_id: int) -> tuple[Int[Tensor, "p t"], Bool[Tensor, "p t"]]:
    """Ids and mask, padded on the right; the mask comes from the lengths."""
    longest = max(map(len, pieces))
    ids = torch.tensor([[*piece, *[pad_id] * (longest - len(piece))] for piece in pieces])
    lengths = torch.tensor([len(piece) for piece in pieces])
    return ids, torch.arange(longest)[None, :] < lengths[:, None]


def autocast(precision: devices.Precision) -> Any:
    """bfloat16 for matrix products, where it is asked for and gains."""
    enabled = devices.use_bfloat16(precision, torch.device("cpu"))
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


def in_batches(kept: Pieces, size: int = PIECES_AT_ONCE) -> Iterator[tuple[list[int], Batch]]:
    """All articles, the like in length together, with their numbers."""
    lengths = kept.lengths
    order = sorted(range(kept.articles), key=lambda row: lengths[row])
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield rows, kept.batch(rows)


@torch.no_grad()
def embeddings(model: TopicModel, kept: Pieces, *, precision: devices.Precision = "auto") -> Float[Tensor, "b d"]:
    """Embed all articles, in their order."""
    model.eval()
    found = torch.empty(kept.articles, model.head.in_features)
    for rows, batch in in_batches(kept):
        with autocast(precision):
            found[rows] = model.embed(batch).float()
    return found


@torch.no_grad()
def all_logits(model: TopicModel, kept: Pieces, *, precision: devices.Precision = "auto") -> Float[Tensor, "b k"]:
    """Logits of all articles, in their order; the head works in float32."""
    found: Tensor = model.eval().head(embeddings(model, kept, precision=precision))
    return found
