"""Texts to unit vectors: MiniLM, the mean of its tokens, in batches of like length, each text embedded once.

Source: Reimers and Gurevych 2019, "Sentence-BERT", §3 (mean pooling); the vectors have length 1, so that the inner
product is the cosine.
"""

# b batch · t time · n texts · d width

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shared import devices
from shared.assets import load_encoder, resolve_model
from shared.errors import UserError
from shared.progress import track

BATCH = 32
POOLING = "mean"
SHOWN = 512  # texts from which on a bar is worth its while


class Embedder:
    """An encoder with its tokenizer and a cache.

    Args:
        name: An embedded model, a local folder, or a Hugging Face id.
        max_length: Tokens after which a text is cut.
        cache: SQLite file of vectors by model and text; None keeps none.
    """

    def __init__(
        self, name: str = "minilm", *, max_length: int = 128, cache: Path | None = None, device: str = "auto"
    ) -> None:
        encoder, self.tokenizer = load_encoder(name, max_length=max_length)
        self._device = devices.pick(device)
        self._encoder = encoder.to(self._device)
        self.dimension: int = encoder.config.hidden_size
        self.model_id = (
            f"{name if not Path(name).exists() else Path(name).name}@{weights_digest(name)}/{POOLING}/{max_length}"
        )
        self._cache = VectorCache(cache, self.model_id, self.dimension) if cache else None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the two special ones."""
        if not texts:
            return []
        # The length limit is ours to keep: without verbose=False the tokenizer warns of each text that exceeds it.
        return [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """The unit vector of each text, in order."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        distinct = list(dict.fromkeys(texts))
        found = self._cache.read(distinct) if self._cache else {}
        new = [text for text in distinct if text not in found]
        for chosen, vectors in self._batches(new):
            fresh = dict(zip(chosen, vectors, strict=True))
            found |= fresh
            if self._cache:
                self._cache.write(fresh)
        return np.stack([found[text] for text in texts])

    def _batches(self, texts: list[str]) -> Iterator[tuple[list[str], Float[np.ndarray, "b d"]]]:
        ids = self.tokenizer(texts, truncation=True)["input_ids"] if texts else []
        order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        shown = len(texts) >= SHOWN
        rows_of = track(batches, description="embedding", total=len(batches)) if shown else batches
        for rows in rows_of:
            padded = self.tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
            yield [texts[row] for row in rows], self.embed(padded["input_ids"], padded["attention_mask"])

    @torch.inference_mode()
    def embed(self, input_ids: Int[Tensor, "b t"], attention_mask: Int[Tensor, "b t"]) -> Float[np.ndarray, "b d"]:
        """Unit vectors of a padded batch."""
        mask = attention_mask.to(self._device)
        hidden = self._encoder(input_ids=input_ids.to(self._device), attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1)  # (b,t,d) -> (b,d), padding left out
        return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


class VectorCache:
    """Vectors on disk by the digest of model and text; several processes may use one file.

    Args:
        path: The SQLite file; made if it is not there.
        model_id: Vectors of other models are never returned.
    """

    def __init__(self, path: Path, model_id: str, dimension: int) -> None:
        self._path, self._model, self._dimension = path, model_id, dimension
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection, connection:
                connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"the embedding cache {path} cannot be used ({error}): remove it") from None

    def read(self, texts: Sequence[str]) -> dict[str, Float[np.ndarray, " d"]]:
        """The vectors that are there, by text."""
        found = {}
        with closing(self._connect()) as connection:
            for text in texts:
                row = connection.execute("SELECT vector FROM vectors WHERE key = ?", (self._key(text),)).fetchone()
                if row and len(row[0]) == 4 * self._dimension:
                    found[text] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
        return found

    def write(self, vectors: dict[str, Float[np.ndarray, " d"]]) -> None:
        """Keep vectors."""
        rows = [(self._key(text), vector.astype("<f4").tobytes()) for text, vector in vectors.items()]
        with closing(self._connect()) as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        connection.execute("PRAGMA synchronous = OFF")  # a lost vector is computed again
        return connection

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self._model}\0{text}".encode()).digest()


def weights_digest(name: str) -> str:
    """Twelve hexadecimal digits of a model's weights; of a model on the hub, of its id."""
    source = resolve_model(name)
    if isinstance(source, str):
        return hashlib.sha256(source.encode()).hexdigest()[:12]
    digest = hashlib.sha256()
    for path in sorted((*source.glob("*.safetensors"), *source.glob("*.bin"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
