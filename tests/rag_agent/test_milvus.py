"""Milvus behind the interface of FAISS: the engine in this process, the same changes, the same answers."""

import builtins

import numpy as np
import pytest

from projects.rag_agent.models.rag_module import RagRetriever
from projects.rag_agent.retriever.faiss_index import FaissIndex
from projects.rag_agent.retriever.milvus_index import MilvusIndex
from shared.errors import UserError


def unit(rows, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def milvus(tmp_path):
    index = MilvusIndex(str(tmp_path / "m.db"), dimension=16)
    yield index
    index.close()


def same(one, other, queries, k):
    for left, right in zip(one.search(queries, k), other.search(queries, k), strict=True):
        assert [each for each, _ in left] == [each for each, _ in right]
        np.testing.assert_allclose([s for _, s in left], [s for _, s in right], atol=1e-5)


def test_the_same_changes_give_the_same_answers_as_faiss(milvus):
    vectors, ids = unit(40), [n * 13 + 2**62 for n in range(40)]
    faiss_index = FaissIndex(16)
    for index in (milvus, faiss_index):
        assert index.search(unit(1), 3) == [[]]
        index.add(ids[:30], vectors[:30])
        index.delete(ids[4:8])
        index.update(ids[10:12], vectors[30:32])
        index.add(ids[4:5], vectors[33:34])
    assert len(milvus) == len(faiss_index) == 27
    same(milvus, faiss_index, unit(5, seed=1), 6)
    same(milvus, faiss_index, unit(2, seed=2), 100)
    np.testing.assert_allclose(milvus.vector(ids[10]), vectors[30], atol=1e-6)


def test_closed_and_opened_it_holds_what_it_held(tmp_path):
    uri = str(tmp_path / "m.db")
    index = MilvusIndex(uri, dimension=16)
    index.add([1, 2], unit(2))
    index.flush()
    index.close()
    again = MilvusIndex(uri, dimension=16)
    assert len(again) == 2 and again.search(unit(2)[1:], 1)[0][0][0] == 2
    assert again.search(unit(2)[1], 1) == again.search(unit(2)[1:], 1)  # a single vector is one query
    again.close()


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda i: i.search(unit(1), 0), "k = 0: must be at least 1"),
        (lambda i: i.search(unit(1)[:, :8], 1), "vectors of dimension 8; the index holds dimension 16"),
        (lambda i: i.search(np.full(16, 1e39), 1), "too large for float32"),
        (lambda i: i.add([1], unit(1)), "in the index already"),
        (lambda i: i.add([9, 9], unit(2)), "ids must be distinct"),
        (lambda i: i.update([9], unit(1)), "not in the index"),
        (lambda i: i.delete([1, 9]), "not in the index"),
        (lambda i: i.vector(9), "no vector under the id 9"),
    ],
)
def test_what_cannot_be_done_is_said_as_faiss_says_it(act, said, milvus):
    milvus.add([1, 2], unit(2))
    with pytest.raises(UserError, match=said):
        act(milvus)
    assert len(milvus) == 2


def test_another_dimension_is_refused(tmp_path):
    uri = str(tmp_path / "m.db")
    MilvusIndex(uri, dimension=16).close()
    with pytest.raises(UserError, match="holds dimension 16, not 8"):
        MilvusIndex(uri, dimension=8)


def test_the_retriever_works_over_it(tmp_path, passages, retriever, embedder):
    index = MilvusIndex(str(tmp_path / "m.db"), dimension=64)
    other = RagRetriever(embedder(), index)
    other.add(passages)
    query = "Which film did Kurosawa direct?"
    assert [f.passage.title for f in other.search(query, 4)] == [f.passage.title for f in retriever.search(query, 4)]
    other.delete("Ran")
    assert len(index) == 3 and "Ran" not in other.documents
    with pytest.raises(UserError, match="keeps its vectors itself"):
        other.save(tmp_path / "index")
    index.close()


def test_a_server_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr("projects.rag_agent.retriever.milvus_index.SECONDS", 1.0)
    with pytest.raises(UserError, match=r"no Milvus at http://127\.0\.0\.1:9") as caught:
        MilvusIndex("http://127.0.0.1:9", dimension=16)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_name_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"ends in \.db"):
        MilvusIndex(str(tmp_path / "vectors"), dimension=16)


def test_without_pymilvus_the_extra_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.startswith("pymilvus"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pymilvus is not installed: pip install -e \"\.\[rag-agent-milvus\]\""):
        MilvusIndex(str(tmp_path / "m.db"), dimension=16)
