"""`make bench-movie_recs`: fitting beside `implicit`, exact search beside a graph and Qdrant, and a large catalogue."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from projects.movie_recs.analysis.large import (
    INDEXES,
    KEEP,
    PEERS,
    QDRANT_UP_TO,
    QUERIES,
    SIZES,
    WIDTH,
    fitted,
    large_engine,
    resident_mb,
    searched,
    timed,
)
from projects.movie_recs.analysis.loaded import LIKES, PEOPLE, WRITES, measured
from projects.movie_recs.analysis.protocol import sides
from projects.movie_recs.analysis.shown import BENCH, INDEX, LOAD, SCALE
from projects.movie_recs.data.catalogue import load
from projects.movie_recs.data.ratings import last_likes
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
    seconds: float = 15.0
    """How long the server is loaded each time."""
    only: Literal["", "peers", "large", "indexes", "http"] = ""
    """One part alone; by default all."""
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
    """Exact against a graph and Qdrant in this process, at several sizes."""
    rows = [
        row
        for count in sorted({min(size, config.films) for size in SIZES})
        for row in searched(count, [each for each in INDEXES if count <= QDRANT_UP_TO or not each.startswith("Qdrant")])
    ]
    publish_bench(INDEX, rows, config.out, "movie_recs", {"width": WIDTH, "queries": QUERIES, "threads_a_query": 1})


def over_http(config: BenchConfig) -> None:
    """The server at what it sustains, and at twice that."""
    details = {"seconds": config.seconds, "people": PEOPLE, "likes": LIKES, "a_rating_in": WRITES}
    publish_bench(LOAD, measured(config.seconds), config.out, "movie_recs", details)


def large(config: BenchConfig) -> None:
    """Lists asked for at a steady rate, whoever is late waits: each latency counts from when the list was due."""
    threadpool_limits(1, user_api="blas")  # as the server does
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


PARTS = {"peers": against_peers, "large": large, "indexes": indexes, "http": over_http}


def main(config: BenchConfig) -> None:
    """Peers, a catalogue of 100,000 films, indexes, and the server under load."""
    for name, part in PARTS.items():
        if config.only in ("", name):
            part(config)


if __name__ == "__main__":
    command(main, BenchConfig)
