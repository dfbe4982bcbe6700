"""Vectors that are computed once, indexes that agree, an encoder out of four bits."""

import faiss
import numpy as np
import pytest
from numpy.testing import assert_allclose

from projects.movie_recs.data.films import Film
from projects.movie_recs.embeddings.encoder import load, unit
from projects.movie_recs.embeddings.index import NOBODY, Flat, Graph, Qdrant, index_for
from projects.movie_recs.embeddings.vectors import (
    KnownVectors,
    centring,
    genres,
    of_films,
    people,
    text_vectors,
    whitening,
)
from shared.errors import UserError
from tests.movie_recs.world import WordEncoder, films

VECTORS = unit(np.random.default_rng(0).standard_normal((200, 16))).astype(np.float32)
IDS = list(range(1000, 1200))


# ---------------------------------------------------------------- known vectors


def test_only_what_changed_is_encoded_again(tmp_path):
    encoder = WordEncoder()
    known, told = KnownVectors(encoder, tmp_path), list(films(6))
    of_films(told, known)
    first = encoder.texts
    assert first == known.encoded > 6
    of_films(told, KnownVectors(encoder, tmp_path))
    assert encoder.texts == first, "another process finds them on the disk"
    told[2] = Film(id=102, title="x", text="A new sentence.")
    of_films(told, KnownVectors(encoder, tmp_path))
    assert encoder.texts == first + 1, "one text that is its only sentence"


def test_a_file_of_another_width_or_none_at_all_is_one_line(tmp_path):
    known = KnownVectors(WordEncoder(), tmp_path)
    known.of(["a"])
    narrow = type("Narrow", (WordEncoder,), {"width": 3})()
    with pytest.raises(UserError, match="another model"):
        KnownVectors(narrow, tmp_path)
    known.path.write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        KnownVectors(WordEncoder(), tmp_path)


def test_sentences_are_pooled_and_an_empty_text_is_zero(tmp_path):
    known = KnownVectors(WordEncoder(), tmp_path)
    found = text_vectors(["One star. Two stars.", "", "Three."], known)
    assert found.starts == (0, 2, 2, 3) and not found.whole[1].any() and not found.pooled[1].any()
    alone = known.of(["One star.", "Two stars."])
    assert_allclose(found.pooled[0], unit(alone.mean(0)), atol=1e-6)
    assert_allclose(found.of_film(2), known.of(["Three."]))
    assert known.kept(["Three."]) is not None and known.kept(["Four."]) is None and known.kept([]) is None


def test_transforms_take_the_common_part_away_and_keep_zero():
    told = np.concatenate([VECTORS + 3, np.zeros((1, 16), np.float32)])
    centred = centring(told)(told)
    assert_allclose(np.linalg.norm(centred[:-1], axis=1), 1, atol=1e-5)
    assert not centred[-1].any() and abs(float((centred @ centred.T)[:50, 50:100].mean())) < 0.05
    stretched = VECTORS * np.linspace(0.1, 5, 16, dtype=np.float32)
    white = whitening(stretched, keep=16, shrink=0.0)
    raw = (stretched - white.mean) @ white.matrix
    assert_allclose(raw.T @ raw / len(raw), np.eye(16), atol=1e-3)


def test_fields_are_columns():
    told = [
        Film(id=1, title="a", genres=("x", "y"), people=("P", "Q")),
        Film(id=2, title="b", genres=("y",), people=("P",)),
    ]
    kinds, names = genres(told)
    assert names == ("x", "y") and kinds.tolist() == [[1, 1], [0, 1]]
    assert_allclose(people(told), [[2**-0.5], [2**-0.5]]), "Q is in one film alone"


# ---------------------------------------------------------------- indexes


def brute(queries, vectors, ids, k):
    order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]
    return np.asarray(ids)[order]


@pytest.mark.parametrize("make", [Flat, Graph, Qdrant])
def test_an_index_finds_what_brute_force_finds(make):
    index = make(16)
    index.add(IDS, VECTORS)
    found, scores = index.search(VECTORS[:20], 5)
    truth = brute(VECTORS[:20], VECTORS, IDS, 5)
    assert (found == truth).mean() > 0.97 and (np.diff(scores, axis=1) <= 1e-6).all()
    assert len(index) == 200


@pytest.mark.parametrize("make", [Flat, Graph, Qdrant])
def test_films_come_change_and_go(make):
    index = make(16)
    index.add(IDS[:100], VECTORS[:100])
    index.remove([1003, 9999])
    assert 1003 not in index.search(VECTORS[3:4], 100)[0] and len(index) == 99
    index.add([1003], VECTORS[150:151])
    assert index.search(VECTORS[150:151], 1)[0][0, 0] == 1003
    index.add([1004], VECTORS[151:152])  # replaced, not there twice
    found = index.search(VECTORS[151:152], 100)[0][0]
    assert found[0] == 1004 and (found == 1004).sum() == 1 and len(index) == 100


def test_many_removals_build_the_graph_anew():
    graph = Graph(16)
    graph.add(IDS, VECTORS)
    graph.remove(IDS[:150])
    found = graph.search(VECTORS[150:160], 10)[0]
    assert len(graph) == 50 and len(graph._ids) == 50 and set(found.ravel().tolist()) <= set(IDS[150:])
    assert found[:, 0].tolist() == IDS[150:160], "each has kept its own vector"
    graph.remove(IDS)
    assert len(graph) == 0 and (graph.search(VECTORS[:1], 3)[0] == NOBODY).all()


def test_removed_films_do_not_stand_in_the_way_of_others():
    """FAISS cannot take a node out: with the nearest hundreds gone, the k nearest of the others are still found."""
    rng = np.random.default_rng(3)
    near = VECTORS[:1] + 0.05 * rng.standard_normal((300, 16))
    vectors = unit(np.concatenate([near, rng.standard_normal((1700, 16))])).astype(np.float32)
    graph, exact = Graph(16), Flat(16)
    for index in (graph, exact):
        index.add(list(range(2000)), vectors)
        index.remove(list(range(300)))
    assert len(graph._ids) == 2000, "the removed nodes are still in the graph"
    found, truth = (index.search(VECTORS[:1], 10)[0][0] for index in (graph, exact))
    assert (found == truth).all() and (found >= 300).all()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    graph.search(VECTORS[:1], 3)
    assert faiss.omp_get_max_threads() == 2, "threads are as before"
    faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("make", [Flat, Graph, Qdrant])
def test_ties_stand_in_the_order_of_ids_and_k_may_exceed_the_films(make):
    index = make(16)
    index.add([7, 3, 5], np.repeat(VECTORS[:1], 3, axis=0))
    found, _ = index.search(VECTORS[:1], 5)
    assert found[0, :3].tolist() == [3, 5, 7]
    assert (found[0, 3:] == NOBODY).all()


@pytest.mark.parametrize("make", [Flat, Graph, Qdrant])
def test_another_models_vectors_and_nan_are_refused(make):
    index = make(16)
    with pytest.raises(UserError, match="another model"):
        index.add([1], np.zeros((1, 8), np.float32))
    with pytest.raises(UserError, match="NaN"):
        index.add([1], np.full((1, 16), np.nan, np.float32))
    with pytest.raises(UserError, match="another model"):
        index.search(np.zeros((1, 8), np.float32), 1)


def test_the_exact_one_is_taken_while_it_pays():
    assert isinstance(index_for(1000, 8), Flat) and isinstance(index_for(10**6, 8), Graph)


# ---------------------------------------------------------------- encoders


def test_an_encoder_pools_over_its_tokens_alone(tmp_path, save_tiny_bert):
    save_tiny_bert(tmp_path / "bert")
    encoder = load(str(tmp_path / "bert"))
    together = encoder.encode(["short", "a much longer text than the first one is, with many words", ""])
    assert_allclose(together[0], encoder.encode(["short"])[0], atol=1e-5), "padding changes nothing"
    assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert encoder.identity == load(str(tmp_path / "bert")).identity
    with pytest.raises(UserError, match="--model nowhere"):
        load("nowhere")
