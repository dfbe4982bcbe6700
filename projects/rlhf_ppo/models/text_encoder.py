"""Texts to one vector each: the mean of an encoder's last hidden states over the real tokens."""

# b texts · t tokens · d hidden size

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from shared.assets import load_encoder


class TextEncoder(nn.Module):
    """An encoder, frozen until somebody thaws a part of it, and its tokenizer."""

    def __init__(self, encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast):
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # it would be carried along unused
        self.encoder = encoder.requires_grad_(False)
        self.tokenizer = tokenizer

    @property
    def hidden_size(self) -> int:
        """D."""
        return self.encoder.config.hidden_size

    def forward(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """One vector a text; alone or in a batch, it is the same."""
        batch = self.tokenizer(list(texts), truncation=True, padding=True, return_tensors="pt")
        return self.mean_pool(batch["input_ids"], batch["attention_mask"])

    def mean_pool(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[Tensor, "b d"]:
        """Mean of the hidden states over the tokens of the mask."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    @torch.no_grad()
    def embed(self, texts: Sequence[str], size: int = 64) -> Float[Tensor, "b d"]:
        """Vectors of any number of texts, without gradients: texts of like length go together."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found = torch.empty(len(texts), self.hidden_size)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            found[rows] = self([texts[row] for row in rows])
        return found


def load_text_encoder(name: str, *, max_length: int) -> TextEncoder:
    """A fresh copy of an encoder: judge and reward model never share weights."""
    return TextEncoder(*load_encoder(name, max_length=max_length))
