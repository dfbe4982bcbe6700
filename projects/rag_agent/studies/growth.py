"""How well does the graph find what exact search finds, at 1,000, 10,000 and 100,000 real sentences? No speeds here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from projects.rag_agent.retriever.faiss_index import EF_CONSTRUCTION, NEIGHBOURS, FaissIndex
from projects.rag_agent.studies.cells import Cell, Done, Item, complete
from projects.rag_agent.studies.corpus import vectors_of
from shared.fingerprint.origin import data_digest
from shared.fingerprint.results import Row

SIZES = (1_000, 10_000, 100_000)
EF_SEARCH = (16, 32, 64, 128, 256)
QUERIES = 500
K = 10


def split(size: int, cache: Path) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "q d"]]:
    """The first `size` vectors, and queries that are not among them: the QUERIES sentences behind the last size."""
    _, vectors = vectors_of(max(SIZES) + QUERIES, cache)
    return vectors[:size], vectors[max(SIZES) :]


def measured(runs: Path, sizes: tuple[int, ...] = SIZES) -> list[Done]:
    """Recall@10 of the graph against exact search for each size and each number of candidates."""
    done = []
    for size in sizes:
        settings = {"size": size, "k": K, "m": NEIGHBOURS, "ef_construction": EF_CONSTRUCTION, "queries": QUERIES}
        texts, _ = vectors_of(max(SIZES) + QUERIES, runs / "sentences.sqlite")
        cell = Cell("growth", f"hnsw-{size}", settings)
        done.append(complete(runs, cell, data_digest(texts[:size]), lambda n=size: _recall(runs, n)))  # type: ignore[misc]
    return done


def _recall(runs: Path, size: int) -> Iterator[Item]:
    vectors, queries = split(size, runs / "sentences.sqlite")
    exact = FaissIndex(vectors.shape[1])
    exact.add(range(size), vectors)
    truth = [{each for each, _ in hits} for hits in exact.search(queries, K)]
    graph = FaissIndex(vectors.shape[1], hnsw=True)
    graph.add(range(size), vectors)
    for candidates in EF_SEARCH:
        graph.ef_search = candidates
        found = graph.search(queries, K)
        shares = [len(right & {each for each, _ in hits}) / K for right, hits in zip(truth, found, strict=True)]
        yield {"ef_search": float(candidates), "recall": round(float(np.mean(shares)), 6)}, {}


def table(done: list[Done]) -> tuple[list[dict[str, Any]], list[Row]]:
    """One row a size and number of candidates."""
    rows, cited = [], []
    for each in done:
        source = each.source
        for seq, record in enumerate(source.log.records):
            if "recall" in record:
                row = {
                    "vectors": each.cell.settings["size"],
                    "ef_search": record["ef_search"],
                    "recall": record["recall"],
                }
                rows.append(row)
                cited.append(
                    Row([source], {name: source.window(name, seq, seq, "value") for name in ("ef_search", "recall")})
                )
    return rows, cited
