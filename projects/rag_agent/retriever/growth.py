"""What an index costs as it grows, and what its graph misses: exact search, HNSW and Milvus on the same vectors.

Each index lives in a process of its own, so that its memory is its own; the parent lets one at a time answer a few
queries, round by round, so that a drift of the machine's speed touches all of them alike.
"""

# n vectors · q queries · d width · k neighbours

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from projects.rag_agent.models.rag_module import VectorIndex
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from projects.rag_agent.retriever.milvus_index import MilvusIndex
from shared.devices import peak_memory_mb
from shared.interleave import spawned
from shared.progress import track

Arm = Literal["exact", "graph", "milvus"]
ARMS: tuple[Arm, ...] = ("exact", "graph", "milvus")
VECTORS = "vectors.npy"
BUILD, SEARCH = 1, 2
PAGE = 4096  # bytes


def graph_recall(
    vectors: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "q d"], candidates: Sequence[int], k: int
) -> Iterator[tuple[dict[str, float], dict[str, Any]]]:
    """Share of the k nearest by exact search that the graph finds, for each number of candidates (efSearch)."""
    exact, graph = FaissIndex(vectors.shape[1]), FaissIndex(vectors.shape[1], hnsw=True)
    for index in (exact, graph):
        index.add(range(len(vectors)), vectors)
    truth = [{each for each, _ in hits} for hits in exact.search(queries, k)]
    for ef_search in candidates:
        graph.ef_search = ef_search
        found = graph.search(queries, k)
        shares = [len(right & {each for each, _ in hits}) / k for right, hits in zip(truth, found, strict=True)]
        yield {"ef_search": float(ef_search), "recall": round(statistics.fmean(shares), 6)}, {}


@dataclass(frozen=True)
class Grown:
    """Costs of an index of one size.

    Attributes:
        costs: Seconds and megabytes, by name (`build`).
        ms: Milliseconds of each search, without those of the first round, which is warm-up.
    """

    costs: dict[str, float]
    ms: list[float] = field(default_factory=list)


def grow(
    sizes: Sequence[int], vectors: Float[np.ndarray, "n d"], *, queries: int, rounds: int, k: int
) -> dict[tuple[Arm, int], Grown]:
    """Build every kind of index in every size, then let each search in turn; the last vectors are the queries."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # or the threads of the indexes whose turn it is not spin on the cores
    os.environ["GRPC_VERBOSITY"] = "NONE"  # Milvus' own process complains while it waits for its turn
    with tempfile.TemporaryDirectory(prefix="rag_agent-bench-", ignore_cleanup_errors=True) as folder:
        np.save(Path(folder) / VECTORS, vectors)
        tasks = {f"{arm}-{size}": Task(arm, size, queries, k, Path(folder)) for size in sizes for arm in ARMS}
        with spawned(work, tasks) as asks:
            found = {name: Grown(ask(BUILD)) for name, ask in asks.items()}  # one after the other: it is timed too
            for turn in track(range(rounds), description="rounds", total=rounds):
                for name in asks if turn % 2 else reversed(list(asks)):
                    taken = asks[name](SEARCH)
                    found[name].ms.extend(taken if turn else [])
    return {(task.arm, task.size): found[name] for name, task in tasks.items()}


@dataclass(frozen=True)
class Task:
    """An index to be measured in a process of its own."""

    arm: Arm
    size: int
    queries: int
    k: int
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
    index, costs = build(task.arm, vectors, place)
    pipe.send(costs)
    use_threads(1)  # one query at a time has nothing to share out
    while pipe.recv():  # SEARCH
        pipe.send(search_ms(index, queries, task.k))


def build(arm: Arm, vectors: Float[np.ndarray, "n d"], folder: Path) -> tuple[VectorIndex, dict[str, float]]:
    """An index of the vectors, saved in an empty folder, and what that came to.

    Returns:
        The index, and seconds of building, saving and loading, MB of memory that it added to the process, and MB on
        disk. Milvus keeps its data itself: it is not loaded, and saving is waiting until it is on disk.
    """
    dimension, numbers = vectors.shape[1], range(len(vectors))
    if arm == "milvus":
        import pymilvus  # noqa: F401 - its code is not the index's memory
    before = resident_mb()
    index: MilvusIndex | FaissIndex = (
        MilvusIndex(str(folder / "vectors.db"), dimension=dimension)
        if arm == "milvus"
        else FaissIndex(dimension, hnsw=arm == "graph")
    )
    costs = {"build_s": seconds(lambda: index.add(numbers, vectors))}
    if isinstance(index, MilvusIndex):
        costs |= {"save_s": seconds(index.flush), "load_s": 0.0}
    else:
        costs["save_s"] = seconds(lambda: index.save(folder))
        costs["load_s"] = seconds(lambda: FaissIndex.load(folder, dimension=dimension, hnsw=arm == "graph"))
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return index, {**costs, "memory_mb": resident_mb() - before, "file_mb": files / 1e6}


def search_ms(index: VectorIndex, queries: Float[np.ndarray, "q d"], k: int) -> list[float]:
    """Milliseconds of each query, asked alone."""
    return [1000 * seconds(lambda query=query: index.search(query[None], k)) for query in queries]  # type: ignore[misc]


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def resident_mb() -> float:
    """Memory of this process that is in use now; where the system does not say, the most that ever was."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * PAGE / 1e6 if statm.exists() else peak_memory_mb()
