"""`make bench-rag_agent`: exact search, the graph and Milvus as the index grows; embedding in batches or one by one.

Each index lives in a process of its own, so that its memory is its own; the parent lets one at a time answer a few
queries, round by round, so that a drift of the machine's speed touches all of them alike.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from projects.rag_agent.analysis.plots import growth
from projects.rag_agent.retriever.embedder import Embedder
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from projects.rag_agent.retriever.milvus_index import MilvusIndex
from projects.rag_agent.studies.corpus import sentences_of_all, vectors_of
from projects.rag_agent.tables import README, embedding_markdown, growth_markdown
from shared import devices
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import spawned
from shared.progress import table, track
from shared.report import put_into_readme, read_csv, write_csv
from shared.runs import peak_memory_mb

Arm = Literal["exact", "graph", "milvus"]
ARMS: tuple[Arm, ...] = ("exact", "graph", "milvus")
RESULTS = Path("projects/rag_agent/results")
K = 10
VECTORS = "vectors.npy"
BUILD, SEARCH = 1, 2


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure search as the index grows, and embedding."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Vectors in an index."""
    rounds: int = 7
    """How often each index has its turn; the first round is warm-up and is not counted."""
    queries: int = 25
    """Searches in a turn, one at a time."""
    sentences: int = 192
    """Sentences that are embedded in a round of the other comparison."""
    cache: Path = Path("runs/rag_agent/results/sentences.sqlite")
    """Vectors of the sentences: embedded the first time, which takes a quarter of an hour for 100,000."""
    out: Path = RESULTS
    """Where the CSV files and the figure go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare exact search, the graph and Milvus as the index grows, and embedding in batches with one by one."""
    if config.rounds < 2 or config.queries < 1 or not config.sizes or min(config.sizes) < K:
        raise UserError(f"--rounds must be at least 2, --queries at least 1, --sizes at least {K}")
    refuse_unwritable(config.out)
    devices.use_all_cores()
    _, vectors = vectors_of(max(config.sizes) + config.queries, config.cache)
    rows = search_rows(config, vectors)
    embedded = embedding_rows(config)
    columns = ["index", "vectors", "p50", "p95", "build", "save", "load", "memory", "file"]
    table(
        f"{config.rounds - 1} rounds of {config.queries} searches for {K} neighbours, one at a time",
        columns,
        [
            (
                row["arm"],
                f"{row['vectors']:,}",
                f"{row['p50_ms']:.3f} ms",
                f"{row['p95_ms']:.3f} ms",
                f"{row['build_s']:.2f} s",
                f"{row['save_s']:.2f} s",
                f"{row['load_s']:.2f} s",
                f"{row['memory_mb']:.0f} MB",
                f"{row['file_mb']:.1f} MB",
            )
            for row in rows
        ],
    )
    table(
        "Sentences a second",
        ["how", "median", "over one by one"],
        [(row["how"], f"{row['per_second']:.0f}", f"{row['over_single']:.2f}") for row in embedded],
    )
    save(config, rows, embedded)
    return rows


def search_rows(config: BenchConfig, vectors: Float[np.ndarray, "n d"]) -> list[dict[str, Any]]:
    """One row an index and size; the last vectors are the queries."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # or the threads of the indexes whose turn it is not spin on the cores
    os.environ["GRPC_VERBOSITY"] = "NONE"  # Milvus' own process complains while it waits for its turn
    with tempfile.TemporaryDirectory(prefix="rag_agent-bench-", ignore_cleanup_errors=True) as folder:
        np.save(Path(folder) / VECTORS, vectors)
        tasks = {
            f"{arm}-{size}": Task(arm, size, config.queries, Path(folder)) for size in config.sizes for arm in ARMS
        }
        with spawned(work, tasks) as asks:
            built = {name: ask(BUILD) for name, ask in asks.items()}  # one after the other: building is timed too
            times: dict[str, list[float]] = {name: [] for name in asks}
            for turn in track(range(config.rounds), description="rounds", total=config.rounds):
                for name in asks if turn % 2 else reversed(list(asks)):
                    taken = asks[name](SEARCH)
                    times[name] += taken if turn else []
    names = [(f"{arm}-{size}", arm, size) for arm in ARMS for size in config.sizes]
    return [row_of(size, arm, built[name], times[name]) for name, arm, size in names]


def row_of(size: int, arm: Arm, built: dict[str, float], seconds: list[float]) -> dict[str, Any]:
    """Quantiles of the searches beside what building came to."""
    milliseconds = sorted(1000 * each for each in seconds)
    p95 = milliseconds[int(0.95 * (len(milliseconds) - 1))]
    return {
        "arm": arm,
        "vectors": size,
        "p50_ms": round(statistics.median(milliseconds), 4),
        "p95_ms": round(p95, 4),
        **{name: round(value, 3) for name, value in built.items()},
    }


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    arm: Arm
    size: int
    queries: int
    folder: Path


def work(pipe: Connection, task: Task) -> None:
    """One index's process: when it is told to, build, save and load it; then search whenever it is told to."""
    pipe.send("ready")
    pipe.recv()  # BUILD
    use_threads()
    everything = np.load(task.folder / VECTORS, mmap_mode="r")
    vectors, queries = np.array(everything[: task.size]), np.array(everything[-task.queries :])
    place = task.folder / f"{task.arm}-{task.size}"
    place.mkdir()
    if task.arm == "milvus":
        import pymilvus  # noqa: F401 - its code is not the index's memory
    before = resident_mb()
    index, seconds = _built(task.arm, vectors, place)
    files = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    pipe.send({**seconds, "memory_mb": resident_mb() - before, "file_mb": files / 1e6})
    use_threads(1)  # one query at a time has nothing to share out
    while pipe.recv():  # SEARCH
        taken = []
        for query in queries:
            started = time.perf_counter()
            index.search(query[None], K)
            taken.append(time.perf_counter() - started)
        pipe.send(taken)


def _built(arm: Arm, vectors: np.ndarray, place: Path) -> tuple[Any, dict[str, float]]:
    dimension = vectors.shape[1]
    if arm == "milvus":
        uri = str(place / "vectors.db")
        index: Any = MilvusIndex(uri, dimension=dimension)
        build = _timed(lambda: index.add(range(len(vectors)), vectors))
        save = _timed(index.flush)
        return index, {"build_s": build, "save_s": save, "load_s": 0.0}
    index = FaissIndex(dimension, hnsw=arm == "graph")
    build = _timed(lambda: index.add(range(len(vectors)), vectors))
    save = _timed(lambda: index.save(place))
    load = _timed(lambda: FaissIndex.load(place, dimension=dimension, hnsw=arm == "graph"))
    return index, {"build_s": build, "save_s": save, "load_s": load}


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def resident_mb() -> float:
    """Memory of this process that is in use now; where the system does not say, the most that ever was."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 / 1e6 if statm.exists() else peak_memory_mb()


def embedding_rows(config: BenchConfig) -> list[dict[str, Any]]:
    """Sentences a second in batches and one by one, in turn on the same sentences."""
    texts = list(sentences_of_all())[: config.sentences]
    embedder = Embedder(max_length=64)
    ways: dict[str, Callable[[], object]] = {
        "in batches of like length": lambda: embedder.encode(texts),
        "one by one": lambda: [embedder.encode([text]) for text in texts],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in track(range(5), description="embedding", total=5):
        for name, way in ways.items():
            taken = _timed(way)
            if turn:
                seconds[name].append(taken)
    ratios = [single / batch for batch, single in zip(*seconds.values(), strict=True)]
    over = {"in batches of like length": statistics.median(ratios), "one by one": 1.0}
    return [
        {
            "how": name,
            "per_second": round(len(texts) / statistics.median(taken), 1),
            "over_single": round(over[name], 3),
        }
        for name, taken in seconds.items()
    ]


def save(config: BenchConfig, rows: list[dict[str, Any]], embedded: list[dict[str, Any]]) -> None:
    """The tables, what they were measured on, and the figure."""
    use_threads()
    for name, lines in (("bench", rows), ("embedding", embedded)):
        write_csv(config.out / f"{name}.csv", lines)
        seal_table(config.out / f"{name}.csv", project="rag_agent", key=team_key())
    details = {"rounds": config.rounds - 1, "queries": config.queries, "k": K, "sentences": config.sentences}
    write_json(config.out / "bench.json", {**details, **devices.machine()})
    if config.out == RESULTS:
        put_into_readme(README, "bench", growth_markdown(read_csv(config.out / "bench.csv")))
        put_into_readme(README, "embedding", embedding_markdown(read_csv(config.out / "embedding.csv")))
        if (RESULTS / "recall.csv").exists():  # made by `make results-rag_agent`
            growth(rows, read_csv(RESULTS / "recall.csv"), RESULTS / "growth.png")


if __name__ == "__main__":
    command(main, BenchConfig)
