"""`make bench-rag_agent`: exact search, the graph and Milvus as the index grows."""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.rag_agent.analysis.plots import growth
from projects.rag_agent.corpus import vectors_of
from projects.rag_agent.retriever.faiss_index import use_threads
from projects.rag_agent.retriever.growth import ARMS, Grown, grow
from projects.rag_agent.study import BENCH, NEAREST, RESULTS
from shared import devices
from shared.errors import UserError, command
from shared.files import refuse_unwritable
from shared.measured import publish_bench
from shared.report import read_csv


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure search as the index grows."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Vectors in an index."""
    rounds: int = 7
    """How often each index has its turn; the first round is warm-up and is not counted."""
    queries: int = 25
    """Searches in a turn, one at a time."""
    cache: Path = Path("runs/rag_agent/results/sentences.sqlite")
    """Vectors of the sentences: embedded the first time, which takes a quarter of an hour for 100,000."""
    out: Path = RESULTS
    """Where the CSV files and the figure go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare exact search, the graph and Milvus as the index grows."""
    if config.rounds < 2 or config.queries < 1 or not config.sizes or min(config.sizes) < NEAREST:
        raise UserError(f"--rounds must be at least 2, --queries at least 1, --sizes at least {NEAREST}")
    refuse_unwritable(config.out)
    devices.use_all_cores()
    _, vectors = vectors_of(max(config.sizes) + config.queries, config.cache)
    details = {"rounds": config.rounds - 1, "queries": config.queries, "k": NEAREST}
    found = grow(config.sizes, vectors, queries=config.queries, rounds=config.rounds, k=NEAREST)
    rows = [row_of(arm, size, found[arm, size]) for arm in ARMS for size in config.sizes]
    use_threads()
    publish_bench(BENCH, rows, config.out, "rag_agent", details)
    if (config.out / "recall.csv").exists():  # made by `make results-rag_agent`
        growth(rows, read_csv(config.out / "recall.csv"), config.out / "growth.png")
    return rows


def row_of(arm: str, size: int, found: Grown) -> dict[str, Any]:
    """Quantiles of an index's searches beside what building it came to."""
    ms = sorted(found.ms)
    quantiles = {"p50_ms": round(statistics.median(ms), 4), "p95_ms": round(ms[int(0.95 * (len(ms) - 1))], 4)}
    return {"arm": arm, "vectors": size, **quantiles} | {name: round(value, 3) for name, value in found.costs.items()}


if __name__ == "__main__":
    command(main, BenchConfig)
