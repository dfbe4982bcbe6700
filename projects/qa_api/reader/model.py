"""A reader: an encoder with two numbers a token, how well an answer begins there and how well it ends there.

The lower layers of the encoder stay as they are, so that what they make of a window is computed once and kept while
the upper ones are trained.

w windows · t tokens · d width
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shared.assets import load_encoder
from shared.errors import UserError

POSITIONS = 512


class SpanReader(nn.Module):
    """Scores every token as first and as last of the answer; token 0 stands for "not in here".

    Args:
        model: minilm (English), e5 (English and Spanish), a folder or a hub id.
        upper: Layers that are trained, from the top.

    Raises:
        UserError: If the model cannot be loaded, or has fewer layers than `upper`.

    Source: Devlin et al. 2019, "BERT", §4.2 and 4.3.
    """

    def __init__(self, model: str, upper: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.name, self.upper = model, upper
        self.encoder, self.tokenizer = load_encoder(model, max_length=256)
        layers = getattr(getattr(self.encoder, "encoder", None), "layer", None)
        if layers is None or not 0 < upper <= len(layers):
            raise UserError(f"--model {model} --upper {upper}: a BERT with at least so many layers is needed")
        self.layers: nn.ModuleList = layers
        self.encoder.requires_grad_(False)
        for layer in self.layers[-upper:]:
            layer.requires_grad_(True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, 2)

    @torch.no_grad()
    def lower(self, ids: Int[Tensor, "w t"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t d"]:
        """States below the trained layers: the same whatever they learn."""
        states = self.encoder.embeddings(input_ids=ids)
        extended = _additive(mask)
        for layer in self.layers[: len(self.layers) - self.upper]:
            states = _states(layer(states, extended))
        lowered: Float[Tensor, "w t d"] = states
        return lowered

    def above(self, states: Float[Tensor, "w t d"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t 2"]:
        """Scores of first and last tokens from the states below; padding has −∞."""
        extended = _additive(mask)
        for layer in self.layers[-self.upper :]:
            states = _states(layer(states, extended))
        scores: Float[Tensor, "w t 2"] = self.head(self.dropout(states))
        return scores.masked_fill(~mask[..., None], -torch.inf)

    def forward(self, ids: Int[Tensor, "w t"], mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w t 2"]:
        """Scores of windows."""
        return self.above(self.lower(ids, mask), mask)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters that training moves, by name: all that a checkpoint needs."""
        return ((name, each) for name, each in self.named_parameters() if each.requires_grad)

    def load_trained(self, weights: dict[str, Tensor]) -> None:
        """Put trained weights in.

        Raises:
            UserError: If they are another model's.
        """
        own = dict(self.trained())
        if set(own) != set(weights) or any(own[name].shape != each.shape for name, each in weights.items()):
            raise UserError(f"the weights are not those of a reader on {self.name} with {self.upper} trained layers")
        with torch.no_grad():
            for name, each in weights.items():
                own[name].copy_(each)


def _additive(mask: Bool[Tensor, "w t"]) -> Float[Tensor, "w 1 1 t"]:
    return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None, None, :]


def _states(output: Any) -> Tensor:
    """What a layer gives: a tensor, or the first of a tuple, by the library's version."""
    states: Tensor = output if isinstance(output, Tensor) else output[0]
    return states


def span_loss(scores: Float[Tensor, "w t 2"], wanted: Int[Tensor, "w 2"]) -> Float[Tensor, ""]:
    """Mean of the two cross-entropies, of first and of last token."""
    first = nn.functional.cross_entropy(scores[..., 0], wanted[:, 0])
    last = nn.functional.cross_entropy(scores[..., 1], wanted[:, 1])
    return (first + last) / 2
