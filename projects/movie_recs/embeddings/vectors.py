"""Vectors of films, computed once: a text whose digest is known is not encoded again.

n films · d width · m sentences
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from filelock import FileLock
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from projects.movie_recs.data.films import Film, sentences
from projects.movie_recs.embeddings.encoder import Encoder, unit
from shared.assets.conversion import cache_folder
from shared.errors import UserError
from shared.files import atomic_path

DIGEST = 16  # bytes of a text's digest
MOST_SENTENCES = 24
"""Sentences of a film's text that get a vector of their own."""


class KnownVectors:
    """Vectors by the digests of their texts, in a file that processes may share.

    Attributes:
        encoded: How many texts were given to the encoder since this object was made.
    """

    def __init__(self, encoder: Encoder, folder: Path | None = None) -> None:
        self.encoder, self.encoded = encoder, 0
        self.path = (folder or cache_folder() / "vectors") / f"{encoder.identity}.safetensors"
        self._known: dict[bytes, Float[np.ndarray, " d"]] = {}
        self._read()

    def of(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """A vector for each text; those that are new are encoded together, and kept."""
        keys = [_digest(text) for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if new:
            self._add(new)
        if not keys:
            return np.zeros((0, self.encoder.width), np.float32)
        return np.stack([self._known[key] for key in keys])

    def kept(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"] | None:
        """Vectors of texts that are all known; None if one is not: nothing is encoded."""
        keys = [_digest(text) for text in texts]
        return np.stack([self._known[key] for key in keys]) if keys and self._known.keys() >= set(keys) else None

    def _add(self, new: dict[bytes, str]) -> None:
        vectors = self.encoder.encode(list(new.values()))
        self.encoded += len(new)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            self._read()  # what another process has added meanwhile stays
            self._known |= dict(zip(new, vectors, strict=True))
            keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, DIGEST)
            with atomic_path(self.path) as temporary:
                save_file({"keys": keys.copy(), "vectors": np.stack(list(self._known.values()))}, temporary)

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            kept = load_file(self.path)
            keys, vectors = kept["keys"], kept["vectors"]
        except (OSError, KeyError, SafetensorError) as error:
            raise UserError(f"{self.path} is damaged ({error}): remove it, and vectors are computed again") from None
        if vectors.shape[1] != self.encoder.width or len(keys) != len(vectors):
            raise UserError(f"{self.path} holds vectors of another model: remove it, and they are computed again")
        self._known |= {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:DIGEST]


@dataclass(frozen=True)
class TextVectors:
    """What is known of the texts of films.

    Attributes:
        whole: Vector of each text from its beginning, as far as the encoder reads; 0 for a film without text.
        pooled: Mean of the vectors of its sentences, of length 1.
        sentences: Vectors of all films' sentences, one after another.
        starts: Where each film's sentences begin, and behind the last the number of all.
    """

    whole: Float[np.ndarray, "n d"]
    pooled: Float[np.ndarray, "n d"]
    sentences: Float[np.ndarray, "m d"]
    starts: tuple[int, ...]

    def of_film(self, row: int) -> Float[np.ndarray, "_ d"]:
        """The sentences of one film."""
        return self.sentences[self.starts[row] : self.starts[row + 1]]


def text_vectors(texts: Sequence[str], known: KnownVectors) -> TextVectors:
    """Vectors of texts and of their sentences; an empty text has 0."""
    parts = [sentences(text)[:MOST_SENTENCES] for text in texts]
    starts = [0]
    for each in parts:
        starts.append(starts[-1] + len(each))
    flat = [sentence for each in parts for sentence in each]
    every = known.of([*[text for text in texts if text], *flat])
    filled = iter(every[: len(every) - len(flat)])
    width = known.encoder.width
    whole = np.stack([next(filled) if text else np.zeros(width, np.float32) for text in texts]) if texts else every
    single = every[len(every) - len(flat) :]
    pooled = np.zeros((len(texts), width), np.float32)
    for row, (start, end) in enumerate(pairwise(starts)):
        pooled[row] = single[start:end].mean(0) if end > start else 0
    return TextVectors(whole, unit(pooled), single, tuple(starts))


def of_films(films: Iterable[Film], known: KnownVectors) -> TextVectors:
    """Vectors of films' texts."""
    return text_vectors([film.text for film in films], known)


# ---------------------------------------------------------------- fields


def genres(films: Sequence[Film]) -> tuple[Float[np.ndarray, "n g"], tuple[str, ...]]:
    """1 where a film is of a genre, and the names of the columns."""
    names = tuple(sorted({genre for film in films for genre in film.genres}))
    place = {name: column for column, name in enumerate(names)}
    found = np.zeros((len(films), len(names)), np.float32)
    for row, film in enumerate(films):
        found[row, [place[genre] for genre in film.genres]] = 1
    return found, names


def people(films: Sequence[Film]) -> Float[np.ndarray, "n p"]:
    """1 / √(films with the person) where a film names somebody whom another names too; columns in order of names."""
    counts: dict[str, int] = {}
    for film in films:
        for name in film.people:
            counts[name] = counts.get(name, 0) + 1
    place = {name: column for column, name in enumerate(sorted(name for name in counts if counts[name] > 1))}
    found = np.zeros((len(films), len(place)), np.float32)
    for row, film in enumerate(films):
        for name in film.people:
            if name in place:
                found[row, place[name]] = counts[name] ** -0.5
    return found


# ---------------------------------------------------------------- transforms


@dataclass(frozen=True)
class Transform:
    """x → (x − mean) · matrix, to length 1; a vector of 0, which nothing is known of, stays 0.

    Attributes:
        matrix: None leaves directions as they are.
    """

    mean: Float[np.ndarray, " d"]
    matrix: Float[np.ndarray, "d k"] | None = None

    def __call__(self, vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """The vectors transformed."""
        moved = np.where(vectors.any(1, keepdims=True), vectors - self.mean, 0)
        return unit(moved if self.matrix is None else moved @ self.matrix)


def centring(vectors: Float[np.ndarray, "n d"]) -> Transform:
    """Take away the mean of the vectors that are not 0: what all films share tells none of them from another."""
    told = vectors[vectors.any(1)]
    return Transform(told.mean(0) if len(told) else np.zeros(vectors.shape[1], vectors.dtype))


def whitening(vectors: Float[np.ndarray, "n d"], keep: int = 128, shrink: float = 0.1) -> Transform:
    """Centre, keep the `keep` strongest directions, and give them like variance.

    Args:
        shrink: Share of the mean variance that is added to each, so that weak directions are not blown up.

    Source: Su et al. 2021, "Whitening sentence representations".
    """
    told = vectors[vectors.any(1)].astype(np.float64)
    mean = told.mean(0)
    _, spread, directions = np.linalg.svd(told - mean, full_matrices=False)
    variance = spread**2 / len(told)
    keep = min(keep, len(directions))
    scale = 1 / np.sqrt(variance[:keep] + shrink * variance.mean())
    return Transform(mean.astype(np.float32), (directions[:keep].T * scale).astype(np.float32))
