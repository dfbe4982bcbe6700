"""Nearest vectors, exact: faiss, with ids that can be taken out again."""

import threading
from collections.abc import Sequence

import faiss
import numpy as np
from jaxtyping import Float


class VectorIndex:
    """Vectors of length 1 by an inner product. A change is seen at once.

    Exact search of 20,000 vectors takes a few milliseconds on one core; beyond some hundreds of thousands the same
    calls go to an approximate index (results/README.md has the sizes).

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(width))
        self._number: dict[str, int] = {}
        self._id: dict[int, str] = {}
        self._next = 0
        self._lock = threading.RLock()  # faiss is not searched while it changes

    def put(self, ids: Sequence[str], vectors: Float[np.ndarray, "n d"]) -> None:
        """Add vectors, or replace those of the same id."""
        with self._lock:
            self.remove(ids)
            numbers = np.arange(self._next, self._next + len(ids))
            self._next += len(ids)
            for each, number in zip(ids, numbers.tolist(), strict=True):
                self._number[each], self._id[number] = number, each
            if len(ids):
                self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), numbers)

    def remove(self, ids: Sequence[str]) -> None:
        """Take vectors out; ids that are not there are none."""
        with self._lock:
            known = [self._number.pop(each) for each in ids if each in self._number]
            for number in known:
                del self._id[number]
            if known:
                self._index.remove_ids(np.array(known, np.int64))

    def __len__(self) -> int:
        return len(self._number)

    def search(self, vector: Float[np.ndarray, " d"], k: int) -> list[tuple[str, float]]:
        """(id, cosine) of the nearest k, best first; equal cosines in the order of ids."""
        with self._lock:
            if not self._number:
                return []
            scores, numbers = self._index.search(np.ascontiguousarray(vector[None], np.float32), min(k, len(self)))
            found = zip(numbers[0].tolist(), scores[0].tolist(), strict=True)
            hits = [(self._id[number], float(score)) for number, score in found if number >= 0]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))
