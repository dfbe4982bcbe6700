"""The library's models in torch."""

# b rows · t new tokens · p tokens in the cache · s = p + t · v vocabulary

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import DynamicCache

from projects.onnx_serving.inference.backends import Inputs, Logits


class TorchEncoder:
    """An `Encoder` from a BERT for question answering, in float32 or bfloat16, or with int8 layers."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.inference_mode()
    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """Run the model."""
        device = self.model.device
        output = self.model(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
        return output.start_logits.float().cpu().numpy(), output.end_logits.float().cpu().numpy()


class TorchDecoder:
    """A `Decoder` from a causal language model of the library."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.inference_mode()
    def __call__(
        self,
        input_ids: Int[np.ndarray, "b t"],
        attention_mask: Int[np.ndarray, "b s"],
        position_ids: Int[np.ndarray, "b t"],
        cache: DynamicCache | None,
    ) -> tuple[Float[np.ndarray, "b v"], DynamicCache]:
        """Run the model once."""
        output = self.model(
            input_ids=torch.from_numpy(input_ids),
            attention_mask=torch.from_numpy(attention_mask),
            position_ids=torch.from_numpy(position_ids),
            past_key_values=DynamicCache() if cache is None else cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float().numpy(), output.past_key_values

    def select_rows(self, cache: DynamicCache, rows: Sequence[int]) -> DynamicCache:
        """The cache of these rows alone."""
        cache.batch_select_indices(torch.tensor(rows))
        return cache
