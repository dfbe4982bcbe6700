"""Words and vectors on Elasticsearch or OpenSearch, by a URL: what an index in memory gives, for more documents.

One index holds all tenants; every query has the tenant as a filter, and an id on the server begins with it. Each change
carries its number in the store as its external version, so that of two replicas that write the same document the later
change stays, whichever comes last. The server is told up to which change it has come, so that replicas do not repeat
one another's work; making an index again repeats all of it, which changes only what was wrong.

Both servers speak the same protocol but for vectors: dense_vector and `knn` beside the query there, knn_vector and
`knn` as the query here; which one it is, its first answer says.

Sources: the reference of both servers: "Bulk API", "kNN search", "External versioning".
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import httpx
from jaxtyping import Float
from numpy import ndarray

from projects.qa_api.data.documents import Document
from projects.qa_api.index.library import Hits, Searched
from projects.qa_api.index.store import Change, Store
from projects.qa_api.index.words import visible
from shared.errors import UserError

DOCUMENTS, STATE = "qa_api", "qa_api_state"
BULK = 500  # changes of a request
CANDIDATES = 200  # vectors that each shard looks at
SEPARATOR = "/"  # no tenant and no id has one
FIELDS = {"body_en": "english", "body_es": "spanish"}  # title and text together, as in memory
KEPT_DELETES = "1d"  # how long the server remembers the version of what is gone
FINE = (200, 201, 404, 409)  # of an item: 404 was gone before, 409 a later change is there


class ElasticServer:
    """A server that indexes the documents of a store.

    Args:
        url: With user and password in it, if it wants them.
        http: For tests.
    """

    def __init__(self, url: str, store: Store, http: httpx.Client | None = None) -> None:
        self.store = store
        self._http = http or httpx.Client(base_url=url, timeout=10.0)

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    @cached_property
    def is_opensearch(self) -> bool:
        """Which of the two it is."""
        return self.send("GET", "/")["version"].get("distribution") == "opensearch"

    def answers(self) -> bool:
        """Whether it does."""
        try:
            self.send("GET", "/")
        except (ConnectionError, UserError):
            return False
        return True

    def maker(self, tenant: str, width: int) -> Callable[[], "ElasticIndex"]:
        """What makes a tenant's index: first as far as the server has come, later from the first change on."""
        made: list[ElasticIndex] = []

        def make() -> ElasticIndex:
            made.append(ElasticIndex(self, tenant, width, again=bool(made)))
            return made[-1]

        return make

    def send(
        self, method: str, path: str, body: Any = None, *, lines: Sequence[Any] = (), fine: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """A request, and what is answered.

        Args:
            lines: A body of several JSON values, one a line.
            fine: Statuses from 400 on that are no failure.

        Raises:
            ConnectionError: If there is no answer, or the server cannot now.
            UserError: If it refuses what it is asked.
        """
        content, kind = (json.dumps(body), "json") if body is not None else (None, "json")
        if lines:
            content, kind = "".join(f"{json.dumps(each)}\n" for each in lines), "x-ndjson"
        try:
            answer = self._http.request(method, path, content=content, headers={"Content-Type": f"application/{kind}"})
        except httpx.HTTPError as error:
            raise ConnectionError(type(error).__name__) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ConnectionError(f"status {answer.status_code}")
        if answer.is_error and answer.status_code not in fine:
            raise UserError(f"the index refuses {method} {path.split('?')[0]}: {answer.text[:200]}")
        told: dict[str, Any] = answer.json()
        return told


class ElasticIndex(Searched):
    """The documents of one tenant on a server.

    Args:
        again: Everything is written again, whatever the server says that it has.
    """

    def __init__(self, server: ElasticServer, tenant: str, width: int, *, again: bool = False) -> None:
        self._server, self._tenant, self.width = server, tenant, width
        self.documents: Mapping[str, Document] = StoredDocuments(server.store, tenant)
        self._again = again
        self._create()
        self.seq = 0 if again else self._reached()

    @property
    def whole(self) -> bool:
        """Whether the server has as many documents as the store; it is not asked while somebody writes."""
        store = self._server.store
        if store.last(self._tenant) != self.seq:
            return True
        there = int(self._server.send("POST", f"/{DOCUMENTS}/_count", {"query": self._mine})["count"])
        return there == len(self.documents) or store.last(self._tenant) != self.seq

    def apply(self, changes: Sequence[Change]) -> None:
        """Write changes that the server does not have yet; searches find them when this returns."""
        reached = 0 if self._again else self._reached()
        new = [each for each in changes if each.seq > reached]
        for start in range(0, len(new), BULK):
            self._write(new[start : start + BULK])
        last = max([self.seq, *(each.seq for each in changes)])
        if new and last > self._reached():
            path = f"/{STATE}/_doc/{self._tenant}?version={last}&version_type=external_gte"
            self._server.send("PUT", path, {"seq": last}, fine=(409,))
        self.seq = last

    def by_words(self, text: str, k: int) -> Hits:
        """(id, BM25), best first; equal scores in the order of ids."""
        shown = visible(text)
        if not shown.strip():
            return []
        words = {"multi_match": {"query": shown, "fields": list(FIELDS), "type": "most_fields"}}
        query = {"bool": {"must": [words], "filter": [self._mine]}}
        return self._hits({"query": query, "size": k, "_source": False})

    def by_vector(self, vector: Float[ndarray, " d"], k: int) -> Hits:
        """(id, cosine), best first; equal cosines in the order of ids."""
        near = {"k": k, "filter": self._mine}
        if self._server.is_opensearch:
            asked: dict[str, Any] = {"query": {"knn": {"vector": {"vector": vector.tolist(), **near}}}}
        else:
            near["num_candidates"] = max(k, CANDIDATES)
            asked = {"knn": {"field": "vector", "query_vector": vector.tolist(), **near}}
        found = self._hits({**asked, "size": k, "_source": False})
        return [(each, 2 * score - 1) for each, score in found]  # both score (1 + cosine) / 2

    @property
    def _mine(self) -> dict[str, Any]:
        return {"term": {"tenant": self._tenant}}

    def _hits(self, asked: dict[str, Any]) -> Hits:
        told = self._server.send("POST", f"/{DOCUMENTS}/_search", asked)["hits"]["hits"]
        hits = [(str(each["_id"]).split(SEPARATOR, 1)[1], float(each["_score"])) for each in told]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))

    def _reached(self) -> int:
        told = self._server.send("GET", f"/{STATE}/_doc/{self._tenant}", fine=(404,))
        return int(told["_source"]["seq"]) if told.get("found") else 0

    def _write(self, changes: Sequence[Change]) -> None:
        lines: list[Any] = []
        for each in changes:
            where = {"_id": f"{self._tenant}{SEPARATOR}{each.id}", "version": each.seq, "version_type": "external_gte"}
            if each.kept is None:
                lines.append({"delete": where})
                continue
            document = each.kept.document
            text = visible(f"{document.title}. {document.text}")
            vector = each.kept.vector.tolist()
            lines += [{"index": where}, {"tenant": self._tenant, "vector": vector, f"body_{document.language}": text}]
        told = self._server.send("POST", f"/{DOCUMENTS}/_bulk?refresh=true", lines=lines)
        for item in told["items"]:
            (done,) = item.values()
            if done["status"] in (429, 503):
                raise ConnectionError(f"status {done['status']}")
            if done["status"] not in FINE:
                raise UserError(f"the index refuses a document: {json.dumps(done.get('error'))[:200]}")

    def _create(self) -> None:
        words = {name: {"type": "text", "analyzer": language} for name, language in FIELDS.items()}
        settings: dict[str, Any] = {"index.gc_deletes": KEPT_DELETES}
        vector: dict[str, Any] = {"type": "dense_vector", "dims": self.width, "index": True, "similarity": "cosine"}
        if self._server.is_opensearch:
            settings["index.knn"] = True
            method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
            vector = {"type": "knn_vector", "dimension": self.width, "method": method}
        fields = {"tenant": {"type": "keyword"}, "vector": vector, **words}
        made = {"settings": settings, "mappings": {"dynamic": "strict", "properties": fields}}
        for name, body in ((DOCUMENTS, made), (STATE, {"mappings": {"properties": {"seq": {"type": "long"}}}})):
            told = self._server.send("PUT", f"/{name}", body, fine=(400,))
            kind = told.get("error", {}).get("type", "")
            if kind not in ("", "resource_already_exists_exception"):
                raise UserError(f"the index {name} cannot be made: {kind}")


class StoredDocuments(Mapping[str, Document]):
    """The documents of a tenant, read from the store when they are wanted."""

    def __init__(self, store: Store, tenant: str) -> None:
        self._store, self._tenant = store, tenant

    def __getitem__(self, identity: str) -> Document:
        """A document.

        Raises:
            KeyError: If there is none of this id.
        """
        kept = self._store.get(self._tenant, identity)
        if kept is None:
            raise KeyError(identity)
        return kept.document

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.ids(self._tenant))

    def __len__(self) -> int:
        return self._store.count(self._tenant)
