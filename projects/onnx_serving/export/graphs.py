"""The two models as an exporter wants them: tensors in, tensors out, and one graph for prefill and step.

Shapes are in the docstrings: a checker that looked at them while the graph is traced would freeze them.
"""

# b rows · t new tokens · p tokens in the cache · h key heads · d width of a head · v vocabulary

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

MASKED_SCORE = torch.finfo(torch.float32).min  # finite: a row of padding alone must not divide by zero


class EncoderGraph(nn.Module):
    """A BERT for question answering that returns its logits in a fixed order."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end logits, each b × t, of three inputs of b × t."""
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return output.start_logits, output.end_logits


class DecoderGraph(nn.Module):
    """A causal language model with its cache as plain tensors: with an empty one it is the prefill, else the step.

    The mask is built here from lengths, since the library's own depends on values that an exporter would freeze.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.layers = model.config.num_hidden_layers

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past: list[Tensor],
    ) -> tuple[Tensor, ...]:
        """Logits of the last token (b × v), then keys and values of each layer (b × h × s × d), s = p + t.

        Args:
            input_ids: b × t.
            attention_mask: b × s.
            position_ids: b × t.
            past: Keys and values of each layer, b × h × p × d.
        """
        cache = DynamicCache()
        for layer in range(self.layers):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        output = self.model(
            input_ids=input_ids,
            attention_mask=causal_attention_bias(attention_mask, input_ids),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        present = [tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return output.logits[:, -1], *present


def causal_attention_bias(attention_mask: Tensor, input_ids: Tensor) -> Tensor:
    """What is added to attention scores, b × 1 × t × s: 0 where a new token may attend, else a very negative number.

    Args:
        attention_mask: 1 for every token, in the cache or new, that is no padding; b × s.
        input_ids: The new ones, which are the last; b × t.
    """
    total, new = attention_mask.shape[1], input_ids.shape[1]
    earlier = torch.arange(total)[None, :] <= torch.arange(new)[:, None] + (total - new)  # (t,s)
    return torch.where(earlier[None, None] & attention_mask[:, None, None, :].bool(), 0.0, MASKED_SCORE)
