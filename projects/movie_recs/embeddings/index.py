"""Nearest films by inner product: exact, by a graph, or in Qdrant, behind one interface.

q queries · d width · k places
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from shared.errors import UserError

Found = tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]
GRAPH_FROM = 20_000
"""Films from which on the graph is used: the smallest size of results/index.csv at which it is quicker than the exact
search, at a recall of .95 or more.
"""
MOST_DEAD = 0.2
"""Share of removed films in a graph from which on it is built anew: FAISS cannot take a node out."""
NOBODY = -1


@runtime_checkable
class Index(Protocol):
    """What is searched."""

    def add(self, ids: Sequence[int], vectors: Float[np.ndarray, "n d"]) -> None:
        """Put films in; one that is there already is replaced."""

    def remove(self, ids: Sequence[int]) -> None:
        """Take films out; one that is not there is passed over."""

    def search(self, queries: Float[np.ndarray, "q d"], k: int) -> Found:
        """Ids and scores of the k films with the largest inner products; −1 where there are fewer films."""

    def __len__(self) -> int: ...


def in_order(ids: Int[np.ndarray, "q m"], scores: Float[np.ndarray, "q m"], k: int) -> Found:
    """The first k by falling score and, where float32 products tie, by rising id; −1 stands last."""
    held = np.where(ids == NOBODY, -np.inf, scores)
    order = np.stack([np.lexsort((row, -score)) for row, score in zip(ids, held, strict=True)])[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(held, order, 1)


def checked(vectors: Float[np.ndarray, "n d"], width: int) -> Float[np.ndarray, "n d"]:
    """The vectors in the form that FAISS takes.

    Raises:
        UserError: If they are of another width, as another model's are, or hold NaN.
    """
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise UserError(f"the index takes vectors of {width} numbers, not {vectors.shape[-1]}: another model's?")
    if not np.isfinite(vectors).all():
        raise UserError("a vector holds NaN or an infinity")
    return np.ascontiguousarray(vectors, np.float32)


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS with this thread alone: for a query or two, threads that wait for one another take longer than the search,
    and as many searches run at once as there are callers.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class Flat:
    """Exact: every film is looked at."""

    def __init__(self, width: int) -> None:
        import faiss

        self.width = width
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(width))

    def add(self, ids: Sequence[int], vectors: Float[np.ndarray, "n d"]) -> None:
        """Put films in; one that is there already is replaced."""
        self.remove(ids)
        self._index.add_with_ids(checked(vectors, self.width), np.asarray(ids, np.int64))

    def remove(self, ids: Sequence[int]) -> None:
        """Take films out; one that is not there is passed over."""
        self._index.remove_ids(np.asarray(ids, np.int64))

    def search(self, queries: Float[np.ndarray, "q d"], k: int) -> Found:
        """The k films of the largest inner products; one place more is asked for, so that a tie has one outcome."""
        wanted = max(1, min(k + 1, len(self)))
        with one_thread():
            scores, ids = self._index.search(checked(queries, self.width), wanted)
        return in_order(ids, scores, k)

    def __len__(self) -> int:
        return int(self._index.ntotal)


class Graph:
    """HNSW: a graph of near films. Removed films are marked, left out of answers, and gone when it is built anew.

    Source: Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search".
    """

    def __init__(self, width: int, *, links: int = 32, build: int = 100, search: int = 128) -> None:
        self.width, self.links, self.build, self.effort = width, links, build, search
        self._empty()

    def _empty(self) -> None:
        import faiss

        self._index = faiss.IndexHNSWFlat(self.width, self.links, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction, self._index.hnsw.efSearch = self.build, self.effort
        self._ids = np.zeros(0, np.int64)  # of each node; NOBODY once it is removed
        self._node: dict[int, int] = {}

    def add(self, ids: Sequence[int], vectors: Float[np.ndarray, "n d"]) -> None:
        """Put films in as new nodes; the node of one that is there already is marked as removed."""
        ready = checked(vectors, self.width)
        self.remove(ids)
        self._node |= {int(id_): node for node, id_ in enumerate(ids, start=len(self._ids))}
        self._ids = np.concatenate([self._ids, np.asarray(ids, np.int64)])
        self._index.add(ready)

    def remove(self, ids: Sequence[int]) -> None:
        """Mark films' nodes as removed; the graph is built anew when more than a share of its nodes is."""
        gone = [self._node.pop(id_) for id_ in ids if id_ in self._node]
        self._ids[gone] = NOBODY
        if len(self._ids) - len(self) > MOST_DEAD * max(len(self._ids), 1):
            alive = np.flatnonzero(self._ids != NOBODY)
            kept, vectors = self._ids[alive], self._index.reconstruct_n(0, len(self._ids))[alive]
            self._empty()
            if len(kept):
                self.add(kept.tolist(), vectors)

    def search(self, queries: Float[np.ndarray, "q d"], k: int) -> Found:
        """Nearly the k films of the largest inner products.

        Where removed films stand before k others, every film is looked at instead.
        """
        asked, nodes = checked(queries, self.width), len(self._ids)
        if not nodes:
            return np.full((len(asked), k), NOBODY), np.full((len(asked), k), -np.inf, np.float32)
        enough = min(k + 1 + nodes - len(self), nodes)
        found = self._live(self._index, asked, min(enough, 2 * k + self.effort))
        if ((found[0] != NOBODY).sum(1) < min(k, len(self))).any():
            found = self._live(self._index.storage, asked, enough)
        return in_order(*found, k)

    def _live(self, index: Any, queries: Float[np.ndarray, "q d"], wanted: int) -> Found:
        """The nearest nodes as films, NOBODY in the place of removed ones."""
        with one_thread():
            scores, near = index.search(queries, wanted)
        return np.where(near >= 0, self._ids[near], NOBODY), scores

    def __len__(self) -> int:
        return len(self._node)


class Qdrant:
    """A collection of Qdrant: in this process (":memory:" or a folder), or a server by its URL.

    Raises:
        UserError: If the package is missing or the server does not answer.
    """

    def __init__(self, width: int, *, location: str = ":memory:", collection: str = "films") -> None:
        try:
            from qdrant_client import QdrantClient, models
        except ImportError:
            raise UserError("the package qdrant-client is not installed: pip install '.[movie-recs-qdrant]'") from None
        self.width, self.collection, self._models = width, collection, models
        where: dict[str, Any] = {"url": location} if "://" in location else {"location": location}
        self._client = QdrantClient(**where)
        try:
            if not self._client.collection_exists(collection):
                form = models.VectorParams(size=width, distance=models.Distance.DOT)
                self._client.create_collection(collection, vectors_config=form)
        except Exception as error:  # the client raises those of whichever transport is underneath
            raise UserError(f"Qdrant at {location} does not answer ({type(error).__name__})") from None

    def add(self, ids: Sequence[int], vectors: Float[np.ndarray, "n d"]) -> None:
        """Put films in; one that is there already is replaced."""
        ready = checked(vectors, self.width)
        points = [self._models.PointStruct(id=int(i), vector=v.tolist()) for i, v in zip(ids, ready, strict=True)]
        if points:
            self._client.upsert(self.collection, points, wait=True)

    def remove(self, ids: Sequence[int]) -> None:
        """Take films out; one that is not there is passed over."""
        if len(ids):
            self._client.delete(self.collection, self._models.PointIdsList(points=[int(i) for i in ids]), wait=True)

    def search(self, queries: Float[np.ndarray, "q d"], k: int) -> Found:
        """The k films of the largest inner products, exact or approximate as the server decides."""
        ids = np.full((len(queries), k + 1), NOBODY, np.int64)
        scores = np.full((len(queries), k + 1), -np.inf, np.float32)
        for row, query in enumerate(checked(queries, self.width)):
            found = self._client.query_points(self.collection, query=query.tolist(), limit=k + 1).points
            ids[row, : len(found)] = [point.id for point in found]
            scores[row, : len(found)] = [point.score for point in found]
        return in_order(ids, scores, k)

    def __len__(self) -> int:
        return int(self._client.count(self.collection, exact=True).count)


def index_for(films: int, width: int) -> Index:
    """Exact as long as that is the quicker one."""
    return Graph(width) if films >= GRAPH_FROM else Flat(width)
