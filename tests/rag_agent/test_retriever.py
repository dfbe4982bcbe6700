"""BM25, the fusions and the retriever against their definitions; the real encoder against the model called by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from projects.rag_agent.models.rag_module import RagRetriever
from projects.rag_agent.retriever.embedder import Embedder, VectorCache
from projects.rag_agent.retriever.faiss_index import FaissIndex
from projects.rag_agent.retriever.lexical import K1, B, Bm25, fuse_ranks, fuse_scores, terms
from shared.assets import load_encoder
from shared.errors import UserError

CORPUS = ["The cat sat with cats", "A dog barks", "Cats and dogs and more dogs in the rain", "", "of the and"]


def bm25_by_definition(texts, query):
    docs = [terms(t) for t in texts]
    mean = sum(map(len, docs)) / len(docs)

    def idf(word):
        holders = sum(word in d for d in docs)
        return math.log(1 + (len(docs) - holders + 0.5) / (holders + 0.5))

    asked = terms(query)
    best = sum(idf(w) for w in asked)
    scores = []
    for doc in docs:
        total = 0.0
        for w in asked:
            tf = doc.count(w)
            total += idf(w) * tf / (tf + K1 * (1 - B + B * len(doc) / mean))
        scores.append(total / best)
    return scores


@pytest.mark.parametrize("query", ["cats", "dogs in the rain", "cat dog unicorn", "dog dog cat"])
def test_bm25_is_its_formula(query):
    index = Bm25(range(5), CORPUS)
    np.testing.assert_allclose(index.scores(query), bm25_by_definition(CORPUS, query), rtol=1e-5)
    found = index.search(query, 5)
    assert found == sorted(found, key=lambda pair: -pair[1]) and all(0 < score <= 1 for _, score in found)
    assert 3 not in dict(found) and 4 not in dict(found)


def test_bm25_of_nothing():
    assert Bm25([], []).search("x", 3) == []
    assert Bm25([1], ["the of"]).search("the of", 3) == []
    assert Bm25([1], ["word"]).search("other", 3) == []
    with pytest.raises(UserError, match="k = 0"):
        Bm25([1], ["word"]).search("word", 0)


def test_coverage_counts_rare_words_more():
    index = Bm25(range(5), CORPUS)
    assert index.coverage("cat dog", "Cats.") == pytest.approx(
        index.rarity("cat") / (index.rarity("cat") + index.rarity("dog"))
    )
    assert index.coverage("rain", "in the rain") == 1.0
    assert index.coverage("the", "the") == 0.0
    assert index.rarity("unicorn") > index.rarity("rain") > index.rarity("cat")


def test_fused_ranks_are_their_definition():
    fused = dict(fuse_ranks([[1, 2, 3], [3, 1]], [0.7, 0.3], constant=10.0))
    assert fused == pytest.approx({1: 0.7 / 11 + 0.3 / 12, 2: 0.7 / 12, 3: 0.7 / 13 + 0.3 / 11})
    assert [each for each, _ in fuse_ranks([[5, 4], [4, 5]], [0.5, 0.5], constant=60.0)] == [4, 5]  # a tie


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_weights_at_the_ends_give_one_ranking_back(one, other):
    fused = [each for each, score in fuse_ranks([one, other], [1.0, 0.0], constant=60.0) if score > 0]
    assert fused == one
    left, right = ({each: 1 / (n + 1) for n, each in enumerate(ranking)} for ranking in (one, other))
    assert [each for each, score in fuse_scores(left, right, 0.0) if score > 0] == other


def test_fused_scores_are_their_definition():
    assert dict(fuse_scores({1: 0.5, 2: 0.4}, {2: 1.0, 3: 0.2}, 0.25)) == pytest.approx({1: 0.125, 2: 0.85, 3: 0.15})


@pytest.mark.parametrize("method", ["hybrid", "rrf", "vectors", "bm25"])
def test_every_method_finds_the_film(retriever, method):
    retriever.method = method
    for query, title in (
        ("Kurosawa epic", "Ran"),
        ("Sigourney Weaver", "Alien"),
        ("crime film with Al Pacino", "Heat"),
    ):
        found = retriever.search(query, 2)
        assert found[0].passage.title == title and len(found) <= 2
        assert found == sorted(found, key=lambda each: -each.score)
        vector = retriever.embedder.encode([query])[0]
        for each in found:
            assert each.cosine == pytest.approx(float(vector @ retriever.index.vector(each.passage.id)), abs=1e-5)


def test_a_retriever_changes_with_its_documents(retriever, make_passage):
    before = list(retriever.embedder.asked)
    assert retriever.add(list(retriever.passages.values())) == 0  # nothing new, nothing embedded
    assert retriever.embedder.asked == before
    changed = make_passage("Ran", "Ran is a film about an ageing warlord and his three sons.")
    assert retriever.update("Ran", [changed]) == (1, 1)
    assert retriever.search("warlord", 1)[0].passage == changed
    assert retriever.delete("Ran") == 1 and len(retriever) == 3
    retriever.method = "bm25"
    assert retriever.search("warlord", 4) == []
    with pytest.raises(UserError, match="no document 'Ran'"):
        retriever.delete("Ran")


def test_saved_and_loaded_it_ranks_the_same(retriever, embedder, tmp_path):
    retriever.save(tmp_path)
    loaded = RagRetriever.load(tmp_path, embedder(), weight=retriever.weight)
    assert loaded.search("Hitchcock noir", 4) == retriever.search("Hitchcock noir", 4)


def test_search_of_nothing_and_for_nothing(embedder, retriever):
    assert RagRetriever(embedder(), FaissIndex(64)).search("x", 3) == []
    with pytest.raises(UserError, match="k = 0: must be at least 1"):
        retriever.search("x", 0)
    with pytest.raises(UserError, match="dimension 32"):
        RagRetriever(embedder(), FaissIndex(32))


# ---------------------------------------------------------------- the real encoder


@pytest.fixture(scope="module")
def minilm():
    return Embedder(max_length=32)


TEXTS = ["A short one.", "A much longer sentence about a film that somebody made in France a long time ago.", "Owls"]


def test_vectors_are_the_mean_of_the_tokens_padding_left_out(minilm):
    model, tokenizer = load_encoder("minilm", max_length=32)
    for text, vector in zip(TEXTS, minilm.encode(TEXTS), strict=True):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
        mean = hidden.mean(0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
    assert np.linalg.norm(minilm.encode(TEXTS), axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_order_and_repeats_do_not_matter(minilm):
    repeated = minilm.encode([TEXTS[2], TEXTS[0], TEXTS[2]])
    np.testing.assert_allclose(repeated, minilm.encode(TEXTS)[[2, 0, 2]], atol=1e-5)
    assert minilm.encode([]).shape == (0, 384)


def test_a_long_text_is_cut_and_counted_whole(minilm):
    long = "word " * 100
    assert minilm.count([long]) == [100]
    np.testing.assert_allclose(minilm.encode([long]), minilm.encode(["word " * 200]), atol=1e-5)


def test_a_text_is_embedded_once(tmp_path, minilm, monkeypatch):
    path = tmp_path / "deep" / "cache.sqlite"
    cached = Embedder(max_length=32, cache=path)
    first = cached.encode(TEXTS)
    monkeypatch.setattr(cached, "embed", lambda *_: pytest.fail("embedded again"))
    np.testing.assert_array_equal(cached.encode(TEXTS[::-1]), first[::-1])
    other = VectorCache(path, "another model", 384)
    assert other.read(TEXTS) == {}


def test_a_cache_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("text " * 100)
    with pytest.raises(UserError, match="remove it"):
        VectorCache(tmp_path / "cache", "m", 4)


def test_another_length_is_another_model(minilm):
    assert minilm.model_id.startswith("minilm@") and minilm.model_id.endswith("/mean/32")
    assert Embedder(max_length=64).model_id != minilm.model_id


def test_terms_of_scripts_without_spaces_are_pairs_of_letters():
    assert terms("東京都の天気、iPhone手机。我") == ["東京", "京都", "都の", "の天", "天気", "iphone", "手机", "我"]
    assert terms("スパイダーマン2") == ["スパ", "パイ", "イダ", "ダー", "ーマ", "マン", "2"]
    assert terms("한국 영화") == ["한국", "영화"]  # Korean has spaces


def test_a_word_is_found_in_whatever_form_and_script_it_is_written():
    texts = [
        "Le Fabuleux Destin d'Ame\u0301lie Poulain",
        "लड़का फ़िल्म देखता है",
        "लड़की गाना गाती है",
        "黒澤明は日本の映画監督です",
    ]
    index = Bm25(range(4), texts)
    for query, found in (("Amélie", 0), ("लड़का", 1), ("लड़की", 2), ("映画監督", 3), ("日本", 3)):
        assert [each for each, _ in index.search(query, 4)] == [found]
    assert index.search("यात्रा", 4) == []


def test_an_id_that_is_removed_twice_is_removed_once(retriever):
    gone = next(iter(retriever.passages))
    size = len(retriever)
    retriever.remove([gone, gone])
    assert len(retriever) == len(retriever.index) == size - 1 and gone not in retriever.passages
    with pytest.raises(UserError, match="not in the index"):
        retriever.remove([gone])
