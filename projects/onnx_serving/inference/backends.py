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
        """Args: input_ids, attention_mask and token_type_ids, each b × t."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Logits of the next token, and the keys and values of all tokens so far."""

    def __call__(
        self,
        input_ids: Int[np.ndarray, "b t"],
        mask: Int[np.ndarray, "b s"],
        positions: Int[np.ndarray, "b t"],
        cache: Any,
    ) -> tuple[Float[np.ndarray, "b v"], Any]:
        """One forward pass; `cache` is None at first (prefill), then what the last pass gave back (step).

        Args:
            input_ids: New tokens, padded on the left.
            mask: 1 for every token, in the cache or new, that is no padding.
            positions: Of the new tokens, counted from the row's first that is no padding.
            cache: Of the p tokens before. It belongs to the pass: it may be changed in place.
        """
        ...

    def keep(self, cache: Any, rows: Sequence[int]) -> Any:
        """The cache of these rows alone."""
        ...
