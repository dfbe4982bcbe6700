"""Torch and ONNX Runtime behind one interface: arrays in, arrays out."""

# b rows · t tokens · p tokens in the cache · v vocabulary

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import PreTrainedModel

Inputs = dict[str, Int[np.ndarray, "b t"]]
Logits = Float[np.ndarray, "b t"]


class Encoder(Protocol):
    """Start and end logits of padded windows."""

    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """Args: input_ids, attention_mask and token_type_ids, each b × t."""
        ...


class TorchEncoder:
    """A BERT for question answering, in float32 or with int8 layers."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @torch.inference_mode()
    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """See `Encoder`."""
        device = next(self.model.parameters()).device
        output = self.model(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
        return output.start_logits.float().cpu().numpy(), output.end_logits.float().cpu().numpy()
