"""The store, both indexes, and their merge: against definitions, under changes, and after a loss."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from projects.qa_api.data.documents import Document
from projects.qa_api.index.library import Library
from projects.qa_api.index.merge import CONSTANT, Merge, candidates, contains, fit_merge, reciprocal_ranks
from projects.qa_api.index.store import ConflictError, Store
from projects.qa_api.index.vectors import VectorIndex
from projects.qa_api.index.words import WordIndex
from shared.errors import UserError
from tests.qa_api.conftest import DOCUMENTS, Letters

LETTERS = Letters()


def put(store, tenant, document, encoder=LETTERS, **more):
    return store.put(tenant, document, encoder.encode([document.text], "passage")[0], **more)


# ---------------------------------------------------------------- store


def test_the_same_document_twice_is_one_change(store):
    first, new = put(store, "a", DOCUMENTS[0])
    again, known = put(store, "a", DOCUMENTS[0])
    assert new and not known and again.seq == first.seq == store.last("a")
    assert again.etag == DOCUMENTS[0].digest


@pytest.mark.parametrize(
    ("there", "if_match", "refused"),
    [(True, "", True), (False, "", False), (True, "*", False), (False, "*", True), (True, "other", True),
     (False, "other", True), (True, DOCUMENTS[0].digest, False)],
)  # fmt: skip
def test_a_change_that_expects_another_state_is_refused(store, there, if_match, refused):
    if there:
        put(store, "a", DOCUMENTS[0])
    changed = Document("sun", "Sun", "Another text about the Sun altogether.", "en")
    if refused:
        with pytest.raises(ConflictError):
            put(store, "a", changed, if_match=if_match)
        kept = store.get("a", "sun")
        assert (kept.document if kept else None) == (DOCUMENTS[0] if there else None)
    else:
        put(store, "a", changed, if_match=if_match)
        assert store.get("a", "sun").document == changed


def test_tenants_do_not_see_each_other(store):
    put(store, "a", DOCUMENTS[0])
    assert store.get("b", "sun") is None and store.count("b") == 0 and not list(store.changes("b", 0))
    assert store.remove("b", "sun") is None and store.count("a") == 1


def test_vectors_of_another_encoder_are_refused(tmp_path):
    Store(tmp_path / "s", "one").close()
    with pytest.raises(UserError, match="holds vectors of one, not of two"):
        Store(tmp_path / "s", "two")


def test_changes_are_told_once_each_in_their_order_beyond_a_page(store, monkeypatch):
    monkeypatch.setattr("projects.qa_api.index.store.PAGE", 2)
    for document in DOCUMENTS:
        put(store, "a", document)
    store.remove("a", "malta")
    put(store, "a", Document("sun", "Sun", "The Sun again, with other words.", "en"))
    told = list(store.changes("a", 0))
    assert [each.id for each in told] == ["mole-animal", "mole-unit", "malta", "sun"]
    assert [each.kept is None for each in told] == [False, False, True, False]
    assert [each.id for each in store.changes("a", told[1].seq)] == ["malta", "sun"]


# ---------------------------------------------------------------- words and vectors


def test_words_find_stems_in_their_language_and_a_query_is_no_syntax():
    index = WordIndex()
    index.put(DOCUMENTS)
    index.commit()
    assert index.search("unit of substances", 3)[0][0] == "mole-unit"
    assert index.search("¿capitales de países?", 3)[0][0] == "malta"
    assert index.search('title:"Sun" OR *) AND ((', 3)[0][0] == "sun"
    assert index.search("   ", 3) == index.search("", 3) == []


def test_a_document_that_is_put_again_or_taken_out_is_found_as_it_is_now():
    index = WordIndex()
    index.put(DOCUMENTS)
    index.commit()
    index.put([Document("sun", "Sun", "A newspaper from London.", "en")])
    index.remove(["malta", "never there"])
    index.commit()
    assert len(index) == 3
    assert index.search("newspaper", 3)[0][0] == "sun" and index.search("star", 3) == []
    assert index.search("Valeta", 3) == []


def test_nearest_vectors_are_those_of_the_definition():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index, ids = VectorIndex(8), [f"d{n:02d}" for n in range(50)]
    index.put(ids, vectors)
    index.remove(ids[:10])
    index.put(["d11"], -vectors[11:12])
    left = dict(zip(ids[10:], vectors[10:], strict=True)) | {"d11": -vectors[11]}
    query = vectors[20]
    wanted = sorted(((each, float(vector @ query)) for each, vector in left.items()), key=lambda hit: (-hit[1], hit[0]))
    found = index.search(query, 7)
    assert [each for each, _ in found] == [each for each, _ in wanted[:7]]
    assert_allclose([score for _, score in found], [score for _, score in wanted[:7]], rtol=1e-5)
    assert len(index) == 40 and VectorIndex(8).search(query, 3) == []


# ---------------------------------------------------------------- the merge


def test_reciprocal_ranks_by_hand():
    words, vectors = [("a", 9.0), ("b", 1.0)], [("c", 0.9), ("a", 0.8)]
    merged = dict(reciprocal_ranks(words, vectors))
    assert merged == {"a": 1 / (CONSTANT + 1) + 1 / (CONSTANT + 2), "b": 1 / (CONSTANT + 2), "c": 1 / (CONSTANT + 1)}
    assert [each for each, _ in reciprocal_ranks(words, vectors)] == ["a", "c", "b"]


def test_features_know_how_much_of_the_query_stands_in_the_lead_and_in_the_text():
    text = "Moles are mammals. They dig tunnels. Some have seventy teeth."
    (row,) = candidates(
        "mammals with seventy tunnels", "en", [("m", 1.0)], [], {"m": Document("m", "M", text, "en")}
    ).features
    assert row[6:].tolist() == pytest.approx([2 / 4, 3 / 4])


def test_features_know_names_languages_and_what_a_search_did_not_give():
    documents = {each.id: each for each in DOCUMENTS}
    found = candidates("How old is the sun?", "en", [("sun", 5.0), ("malta", 2.0)], [("mole-unit", 0.8)], documents)
    row = dict(zip(found.ids, found.features.tolist(), strict=True))
    assert row["sun"][0] == 0 and row["malta"][0] == row["mole-unit"][0] == pytest.approx(-0.3)
    assert row["sun"][4:] == [1.0, 1.0, 0.0, 0.0] and row["mole-unit"][4:] == [0.0, 0.0, 0.0, 0.0]
    assert dict(zip(found.ids, found.other.tolist(), strict=True)) == {"sun": False, "malta": True, "mole-unit": False}
    assert contains(["the", "solar", "system"], ["solar"]) and not contains(["solar"], ["solar", "system"])


def test_a_merge_learns_which_search_is_right_and_to_mistrust_the_other_language():
    documents = {f"{language}{n}": Document(f"{language}{n}", f"T{language}{n}", "x" * 50, language)
                 for language in ("en", "es") for n in range(20)}  # fmt: skip
    random = np.random.default_rng(0)
    found, right = [], []
    for query in range(60):
        wrong, wanted, foreign = f"en{query % 20}", f"en{(query + 7) % 20}", f"es{query % 20}"
        words = [(wrong, 9.0 + random.random()), (foreign, 8.0), (wanted, 2.0)]
        vectors = [(foreign, 0.91), (wanted, 0.9), (wrong, 0.3)]
        found.append(candidates("nothing", "en", words, vectors, documents))
        right.append(wanted)
    merge = fit_merge(found, right)
    assert all(merge.ranked(each)[0][0] == wanted for each, wanted in zip(found, right, strict=True))
    assert all(
        reciprocal_ranks([], [])[:1] == [] or each.ids[0] != wanted for each, wanted in zip(found, right, strict=True)
    )


def test_scores_are_the_weighted_sum_of_the_definition():
    documents = {each.id: each for each in DOCUMENTS}
    found = candidates("sun", "en", [("sun", 3.0), ("malta", 1.0)], [("sun", 0.5)], documents)
    weights = np.arange(18, dtype=float).reshape(2, 9)
    wanted = [weights[int(other), :8] @ row + weights[int(other), 8]
              for row, other in zip(found.features, found.other, strict=True)]  # fmt: skip
    assert_allclose(Merge(weights).scores(found), wanted, rtol=1e-12)


# ---------------------------------------------------------------- a library follows its store


def test_a_library_that_was_lost_is_made_again_and_one_that_lags_catches_up(store, encoder):
    for document in DOCUMENTS[:3]:
        put(store, "a", document)
    library = Library(store, "a", encoder)
    put(store, "a", DOCUMENTS[3])
    store.remove("a", "sun")
    assert set(library.snapshot.documents) == {"sun", "mole-animal", "mole-unit"}
    library.catch_up()
    wanted = {"mole-animal", "mole-unit", "malta"}
    assert set(library.snapshot.documents) == wanted == set(Library(store, "a", encoder).snapshot.documents)
    assert library.rebuild() == 3 and library.snapshot.seq == store.last("a")
    assert [each.document.id for each in library.search("Mediterráneo", "es", 1)] == ["malta"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 3)), max_size=12))
def test_any_order_of_changes_leaves_what_a_dictionary_would_hold(tmp_path_factory, steps):
    """Version 0 takes a document out; the index equals one that is made anew."""
    encoder = Letters()
    store = Store(tmp_path_factory.mktemp("s") / "store", encoder.identity)
    libraries = {tenant: Library(store, tenant, encoder) for tenant in "ab"}
    model: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    for tenant, identity, version in steps:
        if version:
            text = f"word{identity} version{version} of a text that is long enough"
            put(store, tenant, Document(identity, identity, text, "en"), encoder)
            model[tenant][identity] = text
        else:
            store.remove(tenant, identity)
            model[tenant].pop(identity, None)
        libraries[tenant].catch_up()
    for tenant, library in libraries.items():
        assert {each.id: each.text for each in library.snapshot.documents.values()} == model[tenant]
        hits = {each for each, _ in library.snapshot.words.search("version1 version2 version3", 9)}
        assert hits == set(model[tenant])
        assert len(library.snapshot.vectors) == len(model[tenant])
    store.close()
