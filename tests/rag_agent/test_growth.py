"""An index as it grows: the graph's recall against brute force, and the benchmark with its processes, small."""

import numpy as np
import pytest

from projects.rag_agent import benchmark
from projects.rag_agent.benchmark import BenchConfig
from projects.rag_agent.retriever import growth
from projects.rag_agent.retriever.faiss_index import FaissIndex
from projects.rag_agent.retriever.growth import ARMS, build, graph_recall, search_ms
from projects.rag_agent.study import BENCH
from shared.errors import UserError
from shared.report import read_csv


def unit(rows, seed=0, width=16):
    vectors = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_recall_is_the_share_of_the_exact_neighbours_that_the_graph_finds(monkeypatch):
    vectors, queries = unit(300), unit(8, seed=1)
    found = [numbers for numbers, _ in graph_recall(vectors, queries, (4, 300), 4)]
    assert [numbers["ef_search"] for numbers in found] == [4.0, 300.0] and found[1]["recall"] == 1.0
    truth = np.argsort(-queries @ vectors.T)[:, :4]
    real = FaissIndex.search

    def half(index, asked, k):
        hits = real(index, asked, k)
        return [line[: k // 2] for line in hits] if index.hnsw else hits

    monkeypatch.setattr(FaissIndex, "search", half)
    ((numbers, _),) = graph_recall(vectors, queries, (300,), 4)
    assert numbers["recall"] == 0.5 and truth.shape == (8, 4)


@pytest.mark.parametrize("arm", ["exact", "graph"])
def test_what_is_built_is_the_index_and_its_costs(arm, tmp_path):
    vectors = unit(50)
    index, costs = build(arm, vectors, tmp_path)
    assert index.hnsw == (arm == "graph") and index.search(vectors[:1], 1)[0][0][0] == 0
    assert costs.keys() == {"build_s", "save_s", "load_s", "memory_mb", "file_mb"}
    assert costs["file_mb"] == pytest.approx(sum(p.stat().st_size for p in tmp_path.iterdir()) / 1e6)
    assert len(search_ms(index, vectors[:3], 2)) == 3 and min(search_ms(index, vectors[:3], 2)) > 0


def test_the_benchmark_measures_every_index_in_turn_and_leaves_warm_up_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "vectors_of", lambda size, _: ([], unit(size)))
    rows = benchmark.main(BenchConfig(sizes=(40,), rounds=3, queries=2, out=tmp_path / "x" / "results"))
    assert [(row["arm"], row["vectors"]) for row in rows] == [(arm, 40) for arm in ARMS]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
    written = read_csv(tmp_path / "x" / "results" / "bench.csv")
    assert [row["load_s"] for row in written if row["arm"] == "milvus"] == [0.0]
    assert BENCH.markdown(written).splitlines()[-1].startswith("| Milvus (lite), exact | 40 |")
    assert "| – |" in BENCH.markdown(written).splitlines()[-1] and "FAISS, HNSW" in capsys.readouterr().out
    assert (tmp_path / "x" / "results" / "bench.csv.seal.json").exists()


def test_every_index_is_measured_in_every_size(tmp_path, monkeypatch):
    """Without processes: those are above."""
    monkeypatch.setattr(benchmark, "vectors_of", lambda size, _: ([], unit(size)))
    costs = dict.fromkeys(("build_s", "save_s", "load_s", "memory_mb", "file_mb"), 0.0)
    grown = {(arm, size): growth.Grown(costs, [1.0]) for size in (20, 40) for arm in ARMS}
    monkeypatch.setattr(benchmark, "grow", lambda sizes, *_, **__: {each: grown[each] for each in grown})
    rows = benchmark.main(BenchConfig(sizes=(20, 40), rounds=3, queries=2, out=tmp_path / "x" / "results"))
    assert [(row["arm"], row["vectors"]) for row in rows] == [(arm, size) for arm in ARMS for size in (20, 40)]


def test_quantiles_are_of_the_searches():
    found = growth.Grown({"build_s": 0.12345, "memory_mb": 2.0}, [float(n) for n in range(1, 101)])
    row = benchmark.row_of("exact", 7, found)
    assert row == {"arm": "exact", "vectors": 7, "p50_ms": 50.5, "p95_ms": 95.0, "build_s": 0.123, "memory_mb": 2.0}


@pytest.mark.parametrize("settings", [{"rounds": 1}, {"queries": 0}, {"sizes": ()}, {"sizes": (5,)}])
def test_what_cannot_be_measured_is_refused_first(settings, tmp_path):
    with pytest.raises(UserError, match="--rounds must be at least 2"):
        benchmark.main(BenchConfig(out=tmp_path, **settings))
