"""Up to 100,000 real sentences and their vectors: what the index is measured on when it grows.

The film articles alone make about two thousand passages. The rest are sentences of the other embedded corpora; nothing
is made up and no vector is a disturbed copy of another.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from projects.rag_agent.data import load_documents, sentences
from projects.rag_agent.retriever.embedder import Embedder
from shared.assets import NAMES
from shared.assets.splits import shuffled
from shared.assets.text import text_key
from shared.errors import UserError

WORDS = range(3, 33)  # of a sentence that is taken
CORPORA = ("news", "film_reviews", "movie_reviews", "product_reviews", "trec")


def sentences_of_all() -> dict[str, str]:
    """Every distinct sentence of a fitting length → the corpus that it is first found in; in a mixed, fixed order."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for corpus, text in _texts():
        for sentence in sentences(text):
            if len(sentence.split()) in WORDS and (key := text_key(sentence)) not in seen:
                seen.add(key)
                found[sentence] = corpus
    return {sentence: found[sentence] for sentence in sorted(found, key=shuffled)}


def _texts() -> Iterator[tuple[str, str]]:
    for document in load_documents("film_articles"):
        yield "film_articles", document.text
    for corpus in CORPORA:
        for part in NAMES[corpus]().values():
            yield from ((corpus, row["text"]) for row in part)


def vectors_of(size: int, cache: Path) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """The first `size` sentences and their vectors, embedded once and kept.

    Raises:
        UserError: If there are not so many.
    """
    texts = list(sentences_of_all())[:size]
    if len(texts) < size:
        raise UserError(f"the corpora hold {len(texts)} such sentences, not {size}")
    return texts, Embedder(max_length=64, cache=cache).encode(texts)
