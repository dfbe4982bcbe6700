"""Sentence embeddings: texts to vectors of length 1.

n texts · d width · t tokens
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from shared.assets import load_encoder
from shared.errors import UserError

Role = Literal["query", "passage"]
BATCH = 32
POSITIONS = 256


@runtime_checkable
class Encoder(Protocol):
    """What turns texts into vectors."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def identity(self) -> str:
        """Tells two encoders apart."""

    def encode(self, texts: Sequence[str], role: Role = "passage") -> Float[np.ndarray, "n d"]:
        """A vector of length 1 for each text; E5 tells what is asked from what is searched, others do not."""


@dataclass
class SentenceEncoder:
    """A transformer encoder, mean over its tokens.

    Attributes:
        prefixes: What stands before a query and before a passage.

    Source: Reimers and Gurevych 2019, "Sentence-BERT", §3 (mean pooling).
    """

    name: str
    model: Any
    tokenizer: Any
    prefixes: tuple[str, str] = ("", "")

    @property
    def width(self) -> int:
        """D."""
        return int(self.model.config.hidden_size)

    @cached_property
    def identity(self) -> str:
        """Name, width and a digest of some of its weights: vectors of two identities are never compared."""
        told = hashlib.sha256()
        for name, weights in self.model.state_dict().items():
            if "pooler" not in name:  # not used here, and drawn at random where a file lacks it
                told.update(weights.flatten()[:64].numpy().tobytes())
        return f"{self.name.replace('/', '_')}-{self.width}-{told.hexdigest()[:12]}"

    def encode(self, texts: Sequence[str], role: Role = "passage") -> Float[np.ndarray, "n d"]:
        """Vectors in the order of the texts; batches are of texts of like length, so that little is padded."""
        import torch

        prefix = self.prefixes[role == "passage"]
        found = np.zeros((len(texts), self.width), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            told = [prefix + texts[row] for row in rows]
            batch = self.tokenizer(told, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")
            given = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
            with torch.inference_mode():
                states = self.model(**given).last_hidden_state  # (n,t,d)
            mask = batch["attention_mask"][..., None].to(states.dtype)
            found[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return unit(found)


def unit(vectors: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
    """Vectors of length 1; one of length 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Float[np.ndarray, "*n d"] = vectors / np.where(lengths > 0, lengths, 1)
    return scaled


def load(name: str = "minilm") -> SentenceEncoder:
    """An encoder by its name: minilm, e5, a local folder, or a hub id.

    Raises:
        UserError: If there is none of this name.
    """
    model, tokenizer = load_encoder(name, max_length=POSITIONS)
    if not hasattr(model.config, "hidden_size"):
        raise UserError(f"--model {name}: no encoder of sentences")
    prefixes = ("query: ", "passage: ") if "e5" in name.lower() else ("", "")
    return SentenceEncoder(name, model, tokenizer, prefixes)
