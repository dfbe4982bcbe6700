"""What a benchmark runs: peers that learn the same, synthetic films, an engine over 100,000 of them, a steady load."""

import ctypes
import gc
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from projects.movie_recs.data.films import Film
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.index import Flat, Graph, Index, Qdrant
from projects.movie_recs.recommend.collaborative import Scores, ease, neighbours
from projects.movie_recs.recommend.engine import Engine, Parts, Taste

WIDTH, KEEP = 384, 50
PEERS = ("neighbours", "EASE", "implicit: cosine", "implicit: ALS", "implicit: BPR")
GENRES = ("Drama", "Comedy", "Action", "Horror", "Romance")


def fitted(arm: str, likes: csr_matrix) -> Scores:
    """An arm's scores after it has learned from likes; theirs with their own defaults, 64 factors for ALS and BPR."""
    if arm == "neighbours":
        return neighbours(likes, 200, 10.0).score(likes)
    if arm == "EASE":
        return ease(likes, 400.0).score(likes)
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from implicit.nearest_neighbours import CosineRecommender

    made = {
        "cosine": partial(CosineRecommender, K=200),
        "BPR": partial(BayesianPersonalizedRanking, factors=64, random_state=0),
        "ALS": partial(AlternatingLeastSquares, factors=64, random_state=0),
    }[arm.split(": ")[1]]()
    made.fit(likes.tocsr(), show_progress=False)
    if arm.endswith("cosine"):
        return np.asarray((likes @ made.similarity.tocsr()).todense())
    return np.asarray(made.user_factors @ made.item_factors.T, np.float64)


def resident_mb() -> float:
    """Memory of this process in MB (2²⁰ bytes) now."""
    return float(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def give_back() -> None:
    """Return what was freed to the system, where its allocator can: else the next growth would not be seen."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def synthetic(count: int, seed: int = 0) -> np.ndarray:
    """Vectors of films in 500 clusters: nearer to one another than random ones, as films of a genre are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((500, WIDTH)).astype(np.float32)
    return unit(centres[rng.integers(500, size=count)] + 1.2 * rng.standard_normal((count, WIDTH), np.float32))


def large_engine(count: int) -> Engine:
    """An engine over synthetic films, with as many neighbours a film as item neighbours keep."""
    rng, vectors = np.random.default_rng(0), synthetic(count)
    engine = Engine(WIDTH, np.zeros(WIDTH, np.float32), Parts(), Graph(WIDTH))
    for start in range(0, count, 10_000):
        films = [
            Film(id=n, title=f"Film {n}", year=1950 + n % 70, genres=(GENRES[n % 5],))
            for n in range(start, min(start + 10_000, count))
        ]
        engine.put(films, vectors[start : start + len(films)])
    rows = np.repeat(2 * np.arange(count), KEEP)  # a like's row; dislikes have none
    weights = csr_matrix(
        (rng.random(KEEP * count, np.float32), (rows, rng.integers(count, size=KEEP * count))), shape=(2 * count, count)
    )
    engine.learn(weights, rng.zipf(1.5, count).clip(max=10_000).astype(float))
    return engine


def timed(engine: Engine, whom: list[Taste], rate: float | None) -> dict[str, Any]:
    """Lists a second and latencies in ms; at a rate each latency counts from when the list was due.

    Args:
        rate: Lists a second that two clients ask for; None asks one after another.
    """
    late, lock, places = [], threading.Lock(), iter(range(len(whom)))
    begun = time.perf_counter()

    def client() -> None:
        while (place := next(places, None)) is not None:
            due = begun + place / rate if rate else time.perf_counter()
            time.sleep(max(0.0, due - time.perf_counter()))
            engine.recommend(whom[place], 10)
            with lock:
                late.append(1000 * (time.perf_counter() - due))

    clients = [threading.Thread(target=client) for _ in range(2 if rate else 1)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    seconds = time.perf_counter() - begun
    return {
        "a_second": round(len(whom) / seconds, 1),
        "p50_ms": round(statistics.median(late), 2),
        "p99_ms": round(float(np.percentile(late, 99)), 2),
    }


SIZES = (1_000, 5_000, 20_000, 100_000)
QUERIES = 200
QDRANT_UP_TO = 5_000
"""Its local mode keeps points as Python objects, and is meant for tests."""
INDEXES: dict[str, Callable[[int], Index]] = {"exact": Flat, "HNSW": Graph, "Qdrant, in this process": Qdrant}


def searched(count: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Milliseconds a query of one, recall of the ten that the exact one finds, time to build, memory grown."""
    vectors = synthetic(count)
    noise = np.random.default_rng(1).standard_normal((QUERIES, WIDTH), np.float32)
    queries = unit(vectors[np.arange(QUERIES) % count] + 0.05 * noise)
    truth: np.ndarray | None = None
    rows = []
    for name in names:
        index = None  # the one before is gone, and its memory given back
        give_back()
        before, begun = resident_mb(), time.perf_counter()
        index = INDEXES[name](WIDTH)
        for start in range(0, count, 1000):
            index.add(list(range(start, min(start + 1000, count))), vectors[start : start + 1000])
        built, grown = time.perf_counter() - begun, resident_mb() - before
        times, found = [], []
        for query in queries:
            begun = time.perf_counter()
            found.append(index.search(query[None], 10)[0][0])
            times.append(1000 * (time.perf_counter() - begun))
        truth = np.stack(found) if truth is None else truth
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)])
        rows.append(
            {
                "index": name,
                "films": count,
                "ms_p50": round(statistics.median(times), 3),
                "ms_p99": round(float(np.percentile(times, 99)), 3),
                "recall": round(float(recall), 4),
                "build_s": round(built, 2),
                "mb": round(grown, 1),
            }
        )
    return rows
