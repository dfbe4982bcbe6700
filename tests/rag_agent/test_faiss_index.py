"""FAISS against brute force in numpy, through every change; and every argument that it would take without a word."""

import subprocess
import sys

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.rag_agent.retriever import faiss_index
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from shared.errors import UserError


def unit(rows, dimension=16, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute(stored, query, k):
    """(id, inner product) by sorting every product."""
    scores = {each: float(vector @ query) for each, vector in stored.items()}
    return sorted(scores.items(), key=lambda item: -item[1])[:k]


def agrees(index, stored, queries, k):
    for query, hits in zip(queries, index.search(queries, k), strict=True):
        expected = brute(stored, query, k)
        assert [each for each, _ in hits] == [each for each, _ in expected]
        np.testing.assert_allclose([s for _, s in hits], [s for _, s in expected], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hnsw", [False, True])
def test_search_equals_brute_force_through_add_update_and_delete(hnsw):
    vectors, index = unit(60), FaissIndex(16, hnsw=hnsw)
    ids = [(n * 7919 + 2**62) for n in range(60)]  # large and in no order: they are digests
    index.add(ids[:50], vectors[:50])
    stored = dict(zip(ids[:50], vectors[:50], strict=True))
    queries = unit(5, seed=1)
    agrees(index, stored, queries, 7)
    index.delete(ids[3:9])
    for each in ids[3:9]:
        del stored[each]
    agrees(index, stored, queries, 7)
    index.update(ids[20:23], vectors[50:53])
    stored |= dict(zip(ids[20:23], vectors[50:53], strict=True))
    agrees(index, stored, queries, 7)
    index.add(ids[3:5], vectors[53:55])
    stored |= dict(zip(ids[3:5], vectors[53:55], strict=True))
    agrees(index, stored, queries, 7)
    assert len(index) == len(stored) and set(stored) == {each for each in ids if each in index}
    np.testing.assert_array_equal(index.vector(ids[20]), vectors[50])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "delete", "update"]), st.integers(0, 12)), max_size=40), st.booleans()
)
def test_any_sequence_of_changes_leaves_what_a_dictionary_would_hold(changes, hnsw):
    index, stored, fresh = FaissIndex(8, hnsw=hnsw), {}, unit(60, 8)
    for number, (what, each) in enumerate(changes):
        vector = fresh[number]
        if what == "add" and each not in stored:
            index.add([each], vector[None])
            stored[each] = vector
        elif what == "update" and each in stored:
            index.update([each], vector[None])
            stored[each] = vector
        elif what == "delete" and each in stored:
            index.delete([each])
            del stored[each]
    assert len(index) == len(stored)
    agrees(index, stored, unit(3, 8, seed=2), 5)


def test_deleting_moves_no_ids():
    """A flat index moves rows when one goes; LangChain's store kept the rows' old numbers."""
    vectors, index = unit(5), FaissIndex(16)
    index.add([10, 11, 12, 13, 14], vectors)
    index.delete([10])
    for each, vector in zip([11, 12, 13, 14], vectors[1:], strict=True):
        assert index.search(vector[None], 1)[0][0][0] == each


@pytest.mark.parametrize("hnsw", [False, True])
def test_k_above_the_size_and_the_empty_index(hnsw):
    index = FaissIndex(16, hnsw=hnsw)
    assert index.search(unit(2), 3) == [[], []]
    index.add([5], unit(1))
    assert [[each for each, _ in hits] for hits in index.search(unit(2), 10)] == [[5], [5]]
    index.delete([5])
    assert index.search(unit(1), 1) == [[]] and len(index) == 0
    index.add([], unit(0))
    assert index.search(unit(0), 1) == []


def test_a_tombstone_is_never_returned_and_the_graph_is_built_anew_after_a_fifth():
    index, vectors = FaissIndex(16, hnsw=True), unit(100)
    index.add(range(100), vectors)
    index.delete(range(20))
    assert index._dead == 20 and index._index.ntotal == 100
    assert all(each >= 20 for hits in index.search(vectors[:20], 80) for each, _ in hits)
    index.delete([20])
    assert index._dead == 0 and index._index.ntotal == 79
    assert index.search(vectors[50][None], 1)[0][0][0] == 50


@pytest.mark.parametrize("hnsw", [False, True])
def test_saved_and_loaded_it_answers_the_same(hnsw, tmp_path):
    index, vectors = FaissIndex(16, hnsw=hnsw), unit(40)
    index.add(range(40), vectors)
    index.delete([3, 4])
    index.save(tmp_path)
    loaded = FaissIndex.load(tmp_path, dimension=16, hnsw=hnsw)
    assert loaded.search(unit(4, seed=3), 6) == index.search(unit(4, seed=3), 6)
    assert len(loaded) == 38 and 3 not in loaded
    loaded.add([3], vectors[3:4])
    assert loaded.search(vectors[3:4], 1)[0][0][0] == 3


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda i: i.search(unit(1), 0), "k = 0: must be at least 1"),
        (lambda i: i.search(unit(1, 8), 1), "vectors of dimension 8; the index holds dimension 16"),
        (lambda i: i.add([9], unit(1, 8)), "vectors of dimension 8; the index holds dimension 16"),
        (lambda i: i.add([1], unit(1)), "in the index already"),
        (lambda i: i.add([9, 9], unit(2)), "ids must be distinct"),
        (lambda i: i.add([-1], unit(1)), "ids must be distinct and not negative"),
        (lambda i: i.add([8, 9], unit(1)), "2 ids for 1 vectors"),
        (lambda i: i.update([9], unit(1)), "not in the index"),
        (lambda i: i.delete([1, 9]), "not in the index"),
        (lambda i: i.vector(9), "no vector under the id 9"),
        (lambda i: i.add([9], unit(1) * np.float32("nan")), "NaN or infinity"),
        (lambda i: i.add([9], unit(1).astype(np.float64) * 1e39), "too large for float32"),
        (lambda i: i.search(np.full((1, 16), 1e39), 1), "too large for float32"),
        (lambda i: i.search(unit(2)[None], 1), r"shape \(1, 2, 16\): one a row"),
        (lambda _: FaissIndex(0), "dimension 0"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(act, said):
    index = FaissIndex(16)
    index.add([1, 2], unit(2))
    with pytest.raises(UserError, match=said):
        act(index)
    assert len(index) == 2 and index._index.ntotal == 2


def test_another_kind_or_dimension_is_not_loaded(tmp_path):
    index = FaissIndex(16)
    index.add([1], unit(1))
    index.save(tmp_path)
    with pytest.raises(UserError, match="IndexFlatIP"):
        FaissIndex.load(tmp_path, dimension=16, hnsw=True)
    with pytest.raises(UserError, match="dimension 16"):
        FaissIndex.load(tmp_path, dimension=8, hnsw=False)
    (tmp_path / faiss_index.FILE).write_bytes(b"no index")
    with pytest.raises(UserError, match="cannot be read"):
        FaissIndex.load(tmp_path, dimension=16, hnsw=False)


def test_the_graph_finds_nearly_all_that_exact_search_finds():
    vectors, queries = unit(3000, 32), unit(50, 32, seed=5)
    exact, graph = FaissIndex(32), FaissIndex(32, hnsw=True)
    exact.add(range(3000), vectors)
    graph.add(range(3000), vectors)
    pairs = zip(exact.search(queries, 10), graph.search(queries, 10), strict=True)
    found = [len({a for a, _ in right} & {a for a, _ in hits}) / 10 for right, hits in pairs]
    assert np.mean(found) > 0.9


def test_threads_are_set_in_faiss_itself():
    before = faiss.omp_get_max_threads()
    try:
        assert use_threads(1) == 1 and faiss.omp_get_max_threads() == 1
        assert use_threads() >= 1
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("order", ["import faiss, torch", "import torch, faiss"])
def test_faiss_and_torch_live_in_one_process(order):
    code = (
        f"{order}; import numpy as np; x = np.eye(64, dtype='float32'); i = faiss.IndexFlatIP(64); i.add(x);"
        "t = torch.from_numpy(x); assert (t @ t).trace() == 64; assert (i.search(x, 1)[1][:, 0] == np.arange(64)).all()"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("hnsw", [False, True])
def test_a_single_vector_is_one_query(hnsw):
    index, vectors = FaissIndex(16, hnsw=hnsw), unit(10)
    index.add(range(10), vectors)
    assert index.search(vectors[3], 2) == index.search(vectors[3:4], 2)
    assert index.search(vectors[3].astype(np.float64), 1)[0][0][0] == 3
