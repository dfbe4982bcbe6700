"""Texts to one vector each: the mean of an encoder's last hidden states over the real tokens."""

# b texts · t tokens · d width

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast


class TextEncoder(nn.Module):
    """An encoder and its tokenizer.

    Attributes:
        encoder: Frozen; who wants to train a part of it thaws that part.
    """

    def __init__(self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast):
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # it would be carried along unused
        self.encoder = encoder.requires_grad_(False)
        self.tokenizer = tokenizer

    @property
    def width(self) -> int:
        """Of the vectors."""
        return self.encoder.config.hidden_size

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """One vector a text; alone or in a batch, it is the same."""
        batch = self.tokenizer(list(texts), truncation=True, padding=True, return_tensors="pt")
        return self.pooled(batch["input_ids"], batch["attention_mask"])

    def pooled(self, ids: Int[Tensor, "b t"], mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """Mean over the tokens of the mask."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[..., None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    @torch.no_grad()
    def vectors(self, texts: Sequence[str], size: int = 64) -> Float[Tensor, "b d"]:
        """As `forward`, many at a time: texts of like length go together."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found = torch.empty(len(texts), self.width)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            found[rows] = self([texts[row] for row in rows])
        return found
