"""The interface of `FaissIndex` over Milvus, for what no longer fits one machine: optional, extra rag-agent-milvus.

    MilvusIndex("passages.db", dimension=384)                 a file: milvus-lite, the engine inside this process
    MilvusIndex("http://host:19530", dimension=384)           a cluster, by its URI

Milvus keeps what it is given, so there is no save: `flush` waits until it is on disk.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.rag_agent.retriever.faiss_index import Hit, Vector, Vectors, checked_ids, checked_vectors
from shared.errors import UserError

EXTRA = 'pip install -e ".[rag-agent-milvus]"'
BATCH = 1000  # rows of a request; a server takes at most 64 MB
SECONDS = 10.0  # until a server that does not answer is given up
MOST = 16384  # neighbours that Milvus returns at most


class MilvusIndex:
    """Inner products with every vector of a collection.

    Args:
        uri: A file's path, or a server's URI.
        collection: Its name; made if it is not there.
        token: Password, where a server asks for one.

    Raises:
        UserError: If pymilvus is not installed, the server does not answer, or the collection has another dimension.
    """

    def __init__(self, uri: str, *, dimension: int, collection: str = "passages", token: str = "") -> None:
        self.dimension = dimension
        self._name, self._uri = collection, uri
        self._client = _connected(uri, token)
        with self._told():
            if self._client.has_collection(collection):
                self._check_collection()
            else:
                self._make_collection()
            self._client.load_collection(collection)

    def __len__(self) -> int:
        with self._told():
            found = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Store vectors under new ids.

        Raises:
            UserError: If an id is negative, repeated or known, or a vector has another dimension or is not finite.
        """
        numbers, values = checked_ids(ids, vectors, self.dimension)
        known = self._known(numbers.tolist())
        if known:
            raise UserError(f"{len(known)} of the ids are in the index already ({min(known)}): update them")
        for rows in _batches(numbers.tolist(), values):
            with self._told():
                self._client.insert(self._name, rows)

    def update(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Put other vectors under known ids. Raises as `add`; also if an id is not known."""
        numbers, values = checked_ids(ids, vectors, self.dimension)
        self._require(numbers.tolist())
        for rows in _batches(numbers.tolist(), values):
            with self._told():
                self._client.upsert(self._name, rows)

    def delete(self, ids: Sequence[int]) -> None:
        """Take vectors out.

        Raises:
            UserError: If an id is not there; then nothing is taken out.
        """
        gone = list(dict.fromkeys(ids))
        self._require(gone)
        for start in range(0, len(gone), BATCH):
            with self._told():
                self._client.delete(self._name, ids=gone[start : start + BATCH])

    def search(self, queries: Float[np.ndarray, "*q d"], k: int) -> list[list[Hit]]:
        """For each query at most k (id, inner product), the best first; fewer where fewer are stored.

        A single vector is one query.

        Raises:
            UserError: If k is not in 1 … 16384, or a query has another dimension or is not finite.
        """
        if not 1 <= k <= MOST:
            raise UserError(f"k = {k}: must be at least 1 and, with Milvus, at most {MOST}")
        values = checked_vectors(np.atleast_2d(queries), self.dimension)
        if not len(values):
            return []
        with self._told():
            found = self._client.search(self._name, data=values.tolist(), limit=k, output_fields=["id"])
        return [[(int(hit["id"]), float(hit["distance"])) for hit in hits] for hits in found]

    def vector(self, each: int) -> Vector:
        """The vector stored under an id."""
        with self._told():
            found = self._client.get(self._name, ids=[each], output_fields=["vector"])
        if not found:
            raise UserError(f"no vector under the id {each}")
        return np.asarray(found[0]["vector"], dtype=np.float32)

    def flush(self) -> None:
        """Wait until everything is on disk."""
        with self._told():
            self._client.flush(self._name)

    def close(self) -> None:
        """Let go of the file or the connection."""
        self._client.close()

    def _require(self, ids: Sequence[int]) -> None:
        missing = set(ids) - self._known(ids)
        if missing:
            raise UserError(f"{len(missing)} of the ids are not in the index ({min(missing)})")

    def _known(self, ids: Sequence[int]) -> set[int]:
        known: set[int] = set()
        for start in range(0, len(ids), BATCH):
            with self._told():
                found = self._client.get(self._name, ids=list(ids[start : start + BATCH]), output_fields=["id"])
            known |= {int(row["id"]) for row in found}
        return known

    def _make_collection(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimension)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        # Strong: a search sees what was added before it, as FAISS does.
        self._client.create_collection(self._name, schema=schema, index_params=index, consistency_level="Strong")

    def _check_collection(self) -> None:
        fields = {field["name"]: field for field in self._client.describe_collection(self._name)["fields"]}
        found = fields.get("vector", {}).get("params", {}).get("dim")
        if found is None or "id" not in fields:
            raise UserError(f"{self._uri}: the collection {self._name} was not made by this program; name another")
        if int(found) != self.dimension:
            raise UserError(
                f"{self._uri}: the collection {self._name} holds dimension {found}, not {self.dimension}; name another"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the server refuses into one line."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            raise UserError(f"Milvus at {self._uri}: {str(error.message).splitlines()[0][:160]}") from None


def _connected(uri: str, token: str) -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a connection's trouble is told by the exception, in one line
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise UserError(f"pymilvus is not installed: {EXTRA}") from None
    local = "://" not in uri
    if local and Path(uri).suffix != ".db":
        raise UserError(f"{uri}: a file of Milvus ends in .db; a server is named as http://host:19530")
    if local:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(uri, token=token, timeout=SECONDS)
    except (MilvusException, ConnectionError, OSError, ValueError) as error:
        raise UserError(f"no Milvus at {uri}: {str(error).splitlines()[0][:160]}") from None


def _batches(ids: list[int], vectors: Vectors) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(ids), BATCH):
        chosen = slice(start, start + BATCH)
        yield [{"id": each, "vector": row} for each, row in zip(ids[chosen], vectors[chosen], strict=True)]
