"""The index on a server: the same as the one in memory, tenant in every query, replicas, a server that is away."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projects.qa_api.data.documents import Document
from projects.qa_api.index.elastic import DOCUMENTS as INDEX
from projects.qa_api.index.elastic import ElasticServer
from projects.qa_api.index.library import Library
from projects.qa_api.index.store import Store
from projects.qa_api.measure.small import HashedWords, small_service
from projects.qa_api.server.people import Caller
from projects.qa_api.server.settings import Settings
from shared.errors import UserError
from shared.web.problems import BusyError
from tests.qa_api import elastic_server
from tests.qa_api.conftest import DOCUMENTS

ENCODER = HashedWords()
KINDS = [None, "opensearch"]


def put(store, tenant, document):
    return store.put(tenant, document, ENCODER.encode([document.text], "passage")[0])


def library(server, store, tenant="a", width=ENCODER.width):
    return Library(store, tenant, ENCODER, None, ElasticServer("", store, server.client()).maker(tenant, width))


@pytest.mark.parametrize("kind", KINDS)
def test_words_and_vectors_find_what_the_index_in_memory_finds(store, kind):
    server = elastic_server.ElasticServer(distribution=kind)
    for document in DOCUMENTS:
        put(store, "a", document)
    put(store, "b", Document("sun", "Sun", "The Sun is a newspaper.", "en"))
    there, here = library(server, store), Library(store, "a", ENCODER)
    query = ENCODER.encode(["unit of amount of substance"], "query")[0]
    wanted, found = here.snapshot.by_vector(query, 3), there.snapshot.by_vector(query, 3)
    assert [each for each, _ in found] == [each for each, _ in wanted]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in wanted], rtol=1e-5)
    for words in ("unit of amount", "capital de Malta", "star"):
        assert there.snapshot.by_words(words, 1)[0][0] == here.snapshot.by_words(words, 1)[0][0]
        assert there.search(words, "en", 1)[0].document == here.search(words, "en", 1)[0].document
    assert there.snapshot.by_words(" \u200b ", 3) == [] and dict(there.snapshot.documents) == here.snapshot.documents


@pytest.mark.parametrize("kind", KINDS)
def test_every_query_has_its_tenant_and_two_with_the_same_ids_never_meet(store, kind):
    server = elastic_server.ElasticServer(distribution=kind)
    for tenant in "ab":
        put(store, tenant, Document("x", "X", f"The same words of tenant{tenant}.", "en"))
    libraries = {tenant: library(server, store, tenant) for tenant in "ab"}
    store.remove("a", "x")
    libraries["a"].follow()
    assert libraries["a"].search("same words tenantb", "en", 5) == []
    assert [each.document.text for each in libraries["b"].search("same words", "en", 5)] == [
        "The same words of tenantb."
    ]
    asked = [json.loads(body) for _, path, body in server.requests if path.endswith(("_search", "_count"))]
    assert len(asked) >= 6 and all('"term": {"tenant": ' in json.dumps(each) for each in asked)


def test_a_second_replica_does_not_repeat_the_work_and_sees_the_changes_of_the_first(store):
    server = elastic_server.ElasticServer()
    for document in DOCUMENTS:
        put(store, "a", document)
    one = library(server, store)
    writes = lambda: sum(path == f"/{INDEX}/_bulk" for _, path, _ in server.requests)  # noqa: E731
    assert writes() == 1
    two = library(server, store)
    assert writes() == 1 and two.snapshot.seq == one.snapshot.seq == store.last("a")
    put(store, "a", Document("sun", "Sun", "A newspaper from London.", "en"))
    store.remove("a", "malta")
    one.follow()
    two.follow()
    assert writes() == 2
    assert two.search("newspaper London", "en", 1)[0].document.id == "sun"
    assert two.snapshot.by_words("Valeta", 3) == []


def test_an_older_change_that_comes_late_does_not_win(store):
    server = elastic_server.ElasticServer()
    put(store, "a", DOCUMENTS[0])
    one, late = library(server, store), library(server, store)
    old = list(store.changes("a", 0))
    put(store, "a", Document("sun", "Sun", "A newspaper from London.", "en"))
    one.follow()
    late.snapshot._again = True  # as if it had read the old change before the new one was there
    late.snapshot.apply(old)
    assert server.indices[INDEX]["docs"]["a/sun"]["body_en"] == "Sun. A newspaper from London."
    store.remove("a", "sun")
    one.follow()
    late.snapshot.apply(old)
    assert "a/sun" not in server.indices[INDEX]["docs"]


@pytest.mark.parametrize("lost", ["document", "everything", "a document too many"])
def test_an_index_that_differs_from_the_store_is_made_again(store, lost):
    server = elastic_server.ElasticServer()
    for document in DOCUMENTS:
        put(store, "a", document)
    own = library(server, store)
    there = server.indices[INDEX]["docs"]
    if lost == "document":
        del there["a/sun"]
    elif lost == "everything":
        there.clear()
    else:
        store.remove("a", "malta")
        own.follow()
        there["a/malta"] = {"tenant": "a", "vector": [0.0] * 32, "body_es": "vuelve"}
    put(store, "a", Document("new", "New", "Something else.", "en"))
    own.follow()
    assert own.mended == 1
    assert {each.split("/")[1] for each in there} == set(store.ids("a"))


def test_a_server_that_is_away_is_503_and_what_was_put_meanwhile_is_found_later(tmp_path, monkeypatch):
    server = elastic_server.ElasticServer()
    monkeypatch.setattr("projects.qa_api.index.elastic.httpx.Client", lambda **_: server.client())
    service = small_service(Settings(data=tmp_path, dataset="none", elastic="http://index.test"))
    ana = Caller("a", "admin", "ana")
    service.put(ana, DOCUMENTS[0], None)
    server.down = True
    assert not service.state().index
    _, new = service.put(ana, DOCUMENTS[3], None)
    assert new, "the store has it: that is what was acknowledged"
    with pytest.raises(BusyError, match="the index does not answer"):
        service.search(ana, "Malta", "es", 3)
    with pytest.raises(BusyError):
        service.ask(ana, "Malta", "es")
    server.down = False
    server.refuse_items = 1  # too busy for one document
    with pytest.raises(BusyError):
        service.search(ana, "Malta", "es", 3)
    assert [each.document.id for each in service.search(ana, "Malta Mediterráneo", "es", 1)] == ["malta"]
    assert service.state().index and service.state().mended == 0
    service.close()


def test_vectors_of_another_width_are_refused_in_a_line(store):
    server = elastic_server.ElasticServer()
    put(store, "a", DOCUMENTS[0])
    with pytest.raises(UserError, match="the index refuses a document"):
        library(server, store, width=16)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 3), st.integers(0, 2)), max_size=12
    ),
    kind=st.sampled_from(KINDS),
)
def test_two_replicas_in_any_order_leave_what_the_store_holds(tmp_path_factory, steps, kind):
    """Version 0 takes a document out; a replica, or none, follows after each change."""
    server, store = (
        elastic_server.ElasticServer(distribution=kind),
        Store(tmp_path_factory.mktemp("s") / "store", ENCODER.identity),
    )
    replicas = [{tenant: library(server, store, tenant) for tenant in "ab"} for _ in range(2)]
    for tenant, identity, version, who in steps:
        if version:
            put(store, tenant, Document(identity, identity, f"word{identity} version{version} of a text", "en"))
        else:
            store.remove(tenant, identity)
        if who < 2:
            replicas[who][tenant].follow()
    for replica in replicas:
        for tenant in "ab":
            replica[tenant].follow()
            hits = dict(replica[tenant].snapshot.by_words("version1 version2 version3", 9))
            assert set(hits) == set(store.ids(tenant))
            assert not replica[tenant].mended
    texts = {identity: each["body_en"] for identity, each in server.indices[INDEX]["docs"].items()}
    assert texts == {f"{t}/{i}": f"{i}. {store.get(t, i).document.text}" for t in "ab" for i in store.ids(t)}
    store.close()
