"""Haystack's BM25 in memory, run by the Python of its own environment; it imports nothing of this project.

Reads {"documents": [{"id", "text"}], "queries": [...], "k": …} from standard input; writes {"indexed": seconds,
"hits": [[id, …], …], "seconds": […]}.
"""

import json
import sys
import time
from typing import Any


def main() -> None:
    """Index, warm up, search each query."""
    from haystack import Document  # type: ignore[import-not-found]
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever  # type: ignore[import-not-found]
    from haystack.document_stores.in_memory import InMemoryDocumentStore  # type: ignore[import-not-found]

    told: dict[str, Any] = json.load(sys.stdin)
    begun = time.perf_counter()
    store = InMemoryDocumentStore()
    store.write_documents([Document(id=each["id"], content=each["text"]) for each in told["documents"]])
    retriever = InMemoryBM25Retriever(store, top_k=told["k"])
    retriever.run(query="warm up")
    indexed, hits, seconds = time.perf_counter() - begun, [], []
    for query in told["queries"]:
        begun = time.perf_counter()
        found = retriever.run(query=query)["documents"]
        seconds.append(time.perf_counter() - begun)
        hits.append([each.id for each in found])
    json.dump({"indexed": indexed, "hits": hits, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
