"""`make bench-movie_recs`: fitting beside `implicit`, exact search beside a graph and Qdrant, and a large catalogue."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from projects.movie_recs.analysis.large import KEEP, PEERS, WIDTH, fitted, large_engine, resident_mb, synthetic, timed
from projects.movie_recs.analysis.protocol import sides
from projects.movie_recs.analysis.shown import BENCH, INDEX, SCALE
from projects.movie_recs.data.catalogue import load
from projects.movie_recs.data.ratings import last_likes
from projects.movie_recs.embeddings.encoder import unit
from projects.movie_recs.embeddings.index import Flat, Graph, Index, Qdrant
from projects.movie_recs.recommend.engine import Taste
from projects.movie_recs.study import FEWEST, RESULTS
from shared import devices
from shared.errors import command
from shared.interleave import Turns, bench_rows, in_turn, serve, spawned
from shared.measured import publish_bench


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Turns):
    """Measure fitting, searching and a large catalogue."""

    rounds: int = 4
    steps: int = 1
    films: int = 100_000
    lists: int = 1_000
    rate: float = 100.0
    """Lists a second that are asked for."""
    out: Path = RESULTS


def work(pipe: Connection, arm: str) -> None:
    """One arm's process: a step learns from ML-100k and scores every film for every user."""
    devices.use_all_cores()
    likes = sides(last_likes(load("ml-100k").ratings, 5, FEWEST))[1].known.likes()
    serve(pipe.recv, pipe.send, lambda: fitted(arm, likes))


def against_peers(config: BenchConfig) -> None:
    """Time and memory in turn, and the quality of each on the same test."""
    with spawned(work, {arm: arm for arm in PEERS}) as workers:
        rows = bench_rows(in_turn(workers, rounds=config.rounds, steps=config.steps), "neighbours", "ours")
    _, test = sides(last_likes(load("ml-100k").ratings, 5, FEWEST))
    for row in rows:
        row["ndcg"] = round(test.quality(fitted(row["arm"], test.known.likes())), 4)
    publish_bench(BENCH, rows, config.out, "movie_recs", {"users": int(test.who.sum())})


def indexes(config: BenchConfig) -> None:
    """Exact against a graph and Qdrant in this process: milliseconds a query, recall of ten, building, memory."""
    rows = []
    for count in sorted({min(10_000, config.films), config.films}):
        vectors = synthetic(count)
        queries = unit(vectors[:200] + 0.05 * np.random.default_rng(1).standard_normal((200, WIDTH), np.float32))
        truth: np.ndarray | None = None
        for name, make in (("exact", Flat), ("HNSW", Graph), ("Qdrant, in this process", Qdrant)):
            if name.startswith("Qdrant") and count > 10_000:
                continue  # its local mode keeps points as Python objects, and is meant for tests
            before, begun = resident_mb(), time.perf_counter()
            index: Index = make(WIDTH)
            for start in range(0, count, 1000):
                index.add(list(range(start, min(start + 1000, count))), vectors[start : start + 1000])
            built = time.perf_counter() - begun
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
                    "mb": round(resident_mb() - before, 1),
                }
            )
    publish_bench(INDEX, rows, config.out, "movie_recs", {"width": WIDTH, "queries": 200})


def large(config: BenchConfig) -> None:
    """Lists asked for at a steady rate, whoever is late waits: each latency counts from when the list was due."""
    before = resident_mb()
    engine, rng = large_engine(config.films), np.random.default_rng(1)
    memory = resident_mb() - before
    people = [tuple(int(film) for film in rng.integers(config.films, size=20)) for _ in range(config.lists)]
    whom = [Taste(liked=films[:15], disliked=films[15:], seen=frozenset(films)) for films in people]
    for who in whom[:20]:
        engine.recommend(who, 10)
    rows = [
        {"load": "one after another", **timed(engine, whom, None)},
        {"load": f"{config.rate:g} a second", **timed(engine, whom, config.rate)},
    ]
    for row in rows:
        row |= {"films": config.films, "kb_a_film": round(1024 * memory / config.films, 2)}
    publish_bench(
        SCALE, rows, config.out, "movie_recs", {"width": WIDTH, "neighbours": KEEP, "likes": 15, "dislikes": 5}
    )


def main(config: BenchConfig) -> None:
    """Peers, indexes, and a catalogue of 100,000 films."""
    parts: list[Callable[[BenchConfig], None]] = [against_peers, large, indexes]
    for part in parts:
        part(config)


if __name__ == "__main__":
    command(main, BenchConfig)
