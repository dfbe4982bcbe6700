"""Texts to vectors: multilingual e5, mean over tokens, length 1.

n texts · t tokens · d width
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from projects.qa_api.data.documents import Document
from shared.assets import load_encoder
from shared.assets.conversion import cache_folder
from shared.files import atomic_path
from shared.progress import track

Role = Literal["query", "passage"]
TOKENS = 128
BATCH = 32
PREFIXES = {"e5": {"query": "query: ", "passage": "passage: "}}


@runtime_checkable
class Encoder(Protocol):
    """What turns texts into vectors."""

    @property
    def width(self) -> int:
        """Numbers of a vector."""

    @property
    def identity(self) -> str:
        """Tells the vectors of two encoders apart."""

    def encode(self, texts: Sequence[str], role: Role) -> Float[np.ndarray, "n d"]:
        """A vector of length 1 for each text."""


@dataclass
class SentenceEncoder:
    """A transformer encoder.

    Source: Wang et al. 2024, "Multilingual E5 Text Embeddings", §2: mean pooling, a prefix for each role.
    """

    name: str
    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, name: str = "e5") -> "SentenceEncoder":
        """An encoder by its name: e5, minilm, a folder or a hub id.

        Raises:
            UserError: If there is none of this name.
        """
        return cls(name, *load_encoder(name, max_length=TOKENS))

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.model.config.hidden_size)

    @cached_property
    def identity(self) -> str:
        """Name, width, and a digest of some weights."""
        told = hashlib.sha256()
        for key, weights in self.model.state_dict().items():
            if "pooler" not in key:  # not used, and drawn at random where a file lacks it
                told.update(weights.flatten()[:64].numpy().tobytes())
        return f"{self.name.rsplit('/', maxsplit=1)[-1]}-{self.width}-{told.hexdigest()[:12]}"

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], role: Role) -> Float[np.ndarray, "n d"]:
        """Vectors in the order of the texts; batches are of texts of like length, so that little is padded."""
        found = np.zeros((len(texts), self.width), np.float32)
        prefix = PREFIXES.get(self.name, {}).get(role, "")
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in _shown(range(0, len(order), BATCH), self.name):
            rows = order[start : start + BATCH]
            told = [prefix + texts[row] for row in rows]
            batch = self.tokenizer(told, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
            mask = batch["attention_mask"]
            states = self.model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state  # (n, t, d)
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            found[rows] = torch.nn.functional.normalize(pooled, dim=-1).numpy()
        return found


def _shown(starts: range, name: str) -> Iterable[int]:
    """With a progress bar where there is much to do."""
    few = len(starts) <= 10
    return starts if few else track(starts, description=f"{name}: batches of texts", total=len(starts))


def passage(document: Document) -> str:
    """What is encoded of a document: its title, and as much of the text as the encoder reads."""
    return f"{document.name}. {document.text[: 8 * TOKENS]}"


def document_vectors(documents: Sequence[Document], encoder: Encoder) -> Float[np.ndarray, "n d"]:
    """Vectors of documents, computed once and kept in the cache of models."""
    told = hashlib.sha256("\0".join([encoder.identity, str(TOKENS), *map(passage, documents)]).encode())
    kept = cache_folder() / "qa_api" / f"vectors-{told.hexdigest()[:20]}.npy"
    if kept.is_file():
        vectors: Float[np.ndarray, "n d"] = np.load(kept, allow_pickle=False)
        return vectors
    vectors = encoder.encode([passage(document) for document in documents], "passage")
    write_vectors(kept, vectors)
    return vectors


def write_vectors(path: Path, vectors: Float[np.ndarray, "n d"]) -> None:
    """Write an array, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, vectors)
