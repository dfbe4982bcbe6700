"""Vectors under ids in FAISS, on the CPU: exact, or by a graph (HNSW) that gives up a little recall for speed.

Nothing here knows texts or models. FAISS checks its arguments with assertions or not at all, so they are checked here.
"""

# n vectors · q queries · d width · k neighbours

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float, Int

from shared import devices
from shared.errors import UserError

Vectors = Float[np.ndarray, "n d"]
Vector = Float[np.ndarray, " d"]
Ids = Int[np.ndarray, " n"]
Hit = tuple[int, float]

FILE = "index.faiss"
NEIGHBOURS = 32  # M of HNSW: edges a vertex on each layer, twice as many on the lowest
EF_CONSTRUCTION = 80  # candidates while a vector is inserted
EF_SEARCH = 64  # candidates while searching; recall against exact search is in the results
DEAD = -1  # FAISS's own "no result": the id of a row that was deleted from a graph
MOST_DEAD = 0.2  # share of deleted rows above which a graph is built anew
_LIVING = faiss.IDSelectorRange(0, 2**63 - 1)


def use_threads(threads: int | None = None) -> int:
    """Give FAISS so many threads, by default one a core: its OpenMP is its own, torch's setting does not reach it."""
    threads = threads or devices.cores()
    faiss.omp_set_num_threads(threads)
    return threads


class FaissIndex:
    """Inner products with every stored vector, or with those that a graph leads to.

    Deleting from a flat index moves rows and keeps ids. A graph cannot lose a vertex: the row's id becomes −1 (a
    tombstone that search passes through and never returns), and the graph is built anew once a fifth is dead.

    Args:
        hnsw: Whether to search by a graph.
    """

    def __init__(self, dimension: int, *, hnsw: bool = False) -> None:
        if dimension < 1:
            raise UserError(f"dimension {dimension}: must be at least 1")
        self.dimension = dimension
        self.hnsw = hnsw
        self.ef_search = EF_SEARCH
        self._index = _empty(dimension, hnsw)
        self._known: set[int] = set()
        self._dead = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, each: object) -> bool:
        return each in self._known

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Store vectors under new ids.

        Raises:
            UserError: If an id is negative, repeated or known, or a vector has another dimension or is not finite.
        """
        numbers, values = checked_ids(ids, vectors, self.dimension)
        known = [each for each in numbers.tolist() if each in self._known]
        if known:
            raise UserError(f"{len(known)} of the ids are in the index already ({known[0]}): update them")
        if len(numbers):
            self._index.add_with_ids(values, numbers)
        self._known.update(numbers.tolist())

    def update(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Put other vectors under known ids. Raises as `add`; also if an id is not known."""
        numbers, values = checked_ids(ids, vectors, self.dimension)
        self.delete(numbers.tolist())
        self.add(numbers.tolist(), values)

    def delete(self, ids: Sequence[int]) -> None:
        """Take vectors out.

        Raises:
            UserError: If an id is not there; then nothing is taken out.
        """
        gone = set(ids)
        missing = gone - self._known
        if missing:
            raise UserError(f"{len(missing)} of the ids are not in the index ({min(missing)})")
        if not gone:
            return
        self._known -= gone
        if not self.hnsw:
            self._index.remove_ids(np.fromiter(gone, dtype=np.int64))
            return
        self._bury(gone)

    def search(self, queries: Float[np.ndarray, "*q d"], k: int) -> list[list[Hit]]:
        """For each query at most k (id, inner product), the best first; fewer where fewer are stored.

        A single vector is one query.

        Raises:
            UserError: If k < 1, or a query has another dimension or is not finite.
        """
        if k < 1:
            raise UserError(f"k = {k}: must be at least 1")
        values = checked_vectors(np.atleast_2d(queries), self.dimension)
        if not self._known or not len(values):
            return [[] for _ in values]
        k = min(k, len(self._known))
        scores, found = self._index.search(values, k, params=self._parameters(k))
        return [
            [(each, score) for each, score in zip(row, line, strict=True) if each != DEAD]
            for row, line in zip(found.tolist(), scores.tolist(), strict=True)
        ]

    def vector(self, each: int) -> Vector:
        """The vector stored under an id."""
        if each not in self._known:
            raise UserError(f"no vector under the id {each}")
        return self._index.reconstruct(each)

    def save(self, folder: Path) -> None:
        """Write the index into a folder; making that atomic is the caller's (see `versions`)."""
        faiss.write_index(self._index, str(folder / FILE))

    @classmethod
    def load(cls, folder: Path, *, dimension: int, hnsw: bool) -> "FaissIndex":
        """Read what `save` wrote.

        FAISS reads its files without much suspicion: their checksum is compared before (see `versions`).

        Raises:
            UserError: If the file is none of FAISS, or has another dimension or kind.
        """
        loaded = cls(dimension, hnsw=hnsw)
        try:
            index = faiss.read_index(str(folder / FILE))
        except RuntimeError as error:
            raise UserError(f"{folder / FILE} cannot be read: {str(error).splitlines()[0][:120]}") from None
        kind = type(faiss.downcast_index(index.index)) if isinstance(index, faiss.IndexIDMap2) else type(index)
        wanted = faiss.IndexHNSWFlat if hnsw else faiss.IndexFlatIP
        if not issubclass(kind, wanted) or index.d != dimension:
            raise UserError(
                f"{folder / FILE} holds {kind.__name__} of dimension {index.d}, not {wanted.__name__} {dimension}"
            )
        loaded._index = index
        ids = faiss.vector_to_array(index.id_map)
        loaded._known = set(ids[ids != DEAD].tolist())
        loaded._dead = int((ids == DEAD).sum())
        return loaded

    def _parameters(self, k: int) -> faiss.SearchParameters | None:
        if not self.hnsw:
            return None
        living = {"sel": _LIVING} if self._dead else {}
        return faiss.SearchParametersHNSW(efSearch=max(self.ef_search, k), **living)

    def _bury(self, gone: set[int]) -> None:
        ids = faiss.vector_to_array(self._index.id_map)
        ids[np.isin(ids, np.fromiter(gone, dtype=np.int64))] = DEAD
        faiss.copy_array_to_vector(ids, self._index.id_map)
        self._index.construct_rev_map()
        self._dead = int((ids == DEAD).sum())
        if self._dead > MOST_DEAD * len(ids):
            self._rebuild(ids)

    def _rebuild(self, ids: Ids) -> None:
        rows = np.flatnonzero(ids != DEAD)
        inner = faiss.downcast_index(self._index.index)
        kept = inner.reconstruct_batch(rows) if len(rows) else np.empty((0, self.dimension), dtype=np.float32)
        self._index = _empty(self.dimension, hnsw=True)
        self._dead = 0
        if len(rows):
            self._index.add_with_ids(kept, ids[rows])


def checked_ids(ids: Sequence[int], vectors: Vectors, dimension: int) -> tuple[Ids, Vectors]:
    """Both as arrays that an index takes.

    Raises:
        UserError: If an id is negative or repeated, or the vectors do not fit them or the dimension.
    """
    numbers = np.asarray(ids, dtype=np.int64)
    if len(set(numbers.tolist())) != len(numbers) or (len(numbers) and numbers.min() < 0):
        raise UserError("ids must be distinct and not negative")
    values = checked_vectors(vectors, dimension)
    if len(values) != len(numbers):
        raise UserError(f"{len(numbers)} ids for {len(values)} vectors")
    return numbers, values


def checked_vectors(vectors: Float[np.ndarray, "..."], dimension: int) -> Vectors:
    """The vectors as contiguous float32.

    Raises:
        UserError: If they have another dimension, or one is not finite in float32.
    """
    if vectors.ndim != 2:
        raise UserError(f"vectors of shape {vectors.shape}: one a row is wanted, (n, {dimension})")
    if vectors.shape[1] != dimension:
        raise UserError(f"vectors of dimension {vectors.shape[1]}; the index holds dimension {dimension}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(values).all():  # looked at as it is stored: 1e39 is finite in float64 only
        raise UserError("a vector holds NaN or infinity, or a number too large for float32")
    return values


def _empty(dimension: int, hnsw: bool) -> faiss.IndexIDMap2:
    if not hnsw:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
    graph = faiss.IndexHNSWFlat(dimension, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    return faiss.IndexIDMap2(graph)
