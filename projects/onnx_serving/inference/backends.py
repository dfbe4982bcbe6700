"""What every backend offers: an encoder that scores spans, a decoder that gives the next token's logits."""

# b rows · t new tokens · p tokens in the cache · s = p + t · v vocabulary

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

Inputs = dict[str, Int[np.ndarray, "b t"]]
Logits = Float[np.ndarray, "b t"]

ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
DECODER_INPUTS = ("input_ids", "attention_mask", "position_ids")


@runtime_checkable
class Encoder(Protocol):
    """Start and end logits of padded windows."""

    def __call__(self, inputs: Inputs) -> tuple[Logits, Logits]:
        """Run input_ids, attention_mask and token_type_ids, each b × t."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Logits of the next token, and the keys and values of all tokens so far."""

    def __call__(
        self,
        input_ids: Int[np.ndarray, "b t"],
        attention_mask: Int[np.ndarray, "b s"],
        position_ids: Int[np.ndarray, "b t"],
        cache: Any,
    ) -> tuple[Float[np.ndarray, "b v"], Any]:
        """Run one forward pass.

        Args:
            input_ids: New tokens, padded on the left.
            attention_mask: 1 for every token, in the cache or new, that is no padding.
            position_ids: Positions of the new tokens, counted from the row's first that is no padding.
            cache: None at first (prefill), then what the last pass returned (step); it may be changed in place.
        """
        ...

    def select_rows(self, cache: Any, rows: Sequence[int]) -> Any:
        """The cache of these rows alone."""
        ...
