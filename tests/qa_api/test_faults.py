"""Faults: a full disk, an index that fails, a damaged store, kill -9, two tenants interleaved, guessed keys."""

import sqlite3
import sys

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from projects.qa_api.data.documents import Document
from projects.qa_api.index.library import Library
from projects.qa_api.index.store import By, FullError, Store
from projects.qa_api.index.words import WordIndex
from projects.qa_api.measure import kills
from projects.qa_api.measure.small import HashedWords
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.people import caller_of, issue
from shared.errors import UserError
from shared.web import keys as web_keys
from tests.qa_api.conftest import DOCUMENTS

SUN = {"title": "Sun", "text": DOCUMENTS[0].text, "language": "en"}


# ---------------------------------------------------------------- the disk


def fill(store):
    """SQLite's own limit of pages: it fails with SQLITE_FULL, as on a full disk."""
    pages = store._base.execute("PRAGMA page_count").fetchone()[0]
    store._base.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_refuses_changes_and_answers_from_what_is_there(client, small):
    assert client.put("/v1/documents/sun", json=SUN).status_code == 201
    fill(small.store)
    big = {**SUN, "text": "Other words about the Sun. " * 2_000}
    refused = client.put("/v1/documents/sun", json=big)
    assert refused.status_code == 507 and "no room" in refused.json()["detail"]
    assert client.put("/v1/documents/new", json=big).status_code == 507
    items = client.post("/v1/documents", json={"documents": [{"id": "x", **big}]}).json()["items"]
    assert items[0]["status"] == "refused" and "no room" in items[0]["detail"]
    assert client.get("/ready").json() == {"status": "degraded", "store": "full", "index": "ok", "mended": 0}
    assert client.get("/v1/documents/sun").json()["text"] == SUN["text"]
    assert client.post("/v1/ask", json={"question": "How old is the Sun?"}).json()["source"]["document"] == "sun"
    small.store._base.execute("PRAGMA max_page_count = 1000000")
    assert client.put("/v1/documents/sun", json=big).status_code == 200
    assert client.get("/ready").json()["status"] == "ok"


def test_a_change_that_fails_at_its_end_leaves_no_open_transaction(store):
    def put(identity, text):
        vector = HashedWords().encode([text], "passage")[0]
        store.put("a", Document(identity, "T", text, "en"), vector, by=By("k", "r"))

    put("one", "first text")
    fill(store)
    with pytest.raises(FullError):
        put("two", "x" * 90_000)
    assert not store._base.in_transaction and store.full and store.get("a", "two") is None
    assert [each.document for each in store.acts("a", 9)] == ["one"], "no line of audit without its change"
    store._base.execute("PRAGMA max_page_count = 1000000")
    put("two", "x" * 90_000)
    assert not store.full and store.last("a") == 2


def test_a_store_that_is_damaged_is_refused_in_a_line(tmp_path):
    path = tmp_path / "s"
    store = Store(path, "one")
    for n in range(200):
        store.put("a", Document(f"d{n}", "T", "text " * 200, "en"), HashedWords().encode(["x"], "passage")[0])
    store.close()
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(path.read_bytes())
    raw[3 * 4096 : 40 * 4096] = bytes(37 * 4096)
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"is damaged|cannot be used"):
        Store(path, "one")
    path.write_bytes(b"this is no database, " * 400)
    with pytest.raises(UserError, match="cannot be used as the store"):
        Store(path, "one")


# ---------------------------------------------------------------- the index


def broken_words(*_, **__):
    raise ValueError("segment lost")


@pytest.mark.parametrize("how", ["search fails", "change fails", "vectors lost"])
def test_an_index_that_fails_is_made_again_and_that_is_said(client, small, how, monkeypatch):
    client.put("/v1/documents/sun", json=SUN)
    now = small.answerer("a").library.snapshot
    if how == "search fails":
        monkeypatch.setattr(now.words, "search", broken_words)
    elif how == "change fails":
        monkeypatch.setattr(now.words, "put", broken_words)
        client.put("/v1/documents/malta", json={"title": "Malta", "text": DOCUMENTS[3].text, "language": "es"})
    else:
        now.vectors.remove(["sun"])
        client.put("/v1/documents/malta", json={"title": "Malta", "text": DOCUMENTS[3].text, "language": "es"})
    hits = client.get("/v1/search", params={"q": "star of the Solar System"}).json()["hits"]
    assert hits[0]["document"] == "sun"
    assert small.answerer("a").library.snapshot is not now
    assert client.get("/ready").json() == {"status": "ok", "store": "ok", "index": "ok", "mended": 1}
    assert "indexes_mended 1.0" in client.get("/metrics").text


def test_a_text_at_which_every_search_fails_makes_no_index_again_and_again(store, monkeypatch):
    encoder = HashedWords()
    store.put("a", DOCUMENTS[0], encoder.encode([DOCUMENTS[0].text], "passage")[0])
    library = Library(store, "a", encoder)
    with monkeypatch.context() as broken:
        broken.setattr(WordIndex, "search", broken_words)
        for _ in range(3):
            with pytest.raises(ValueError, match="segment lost"):
                library.search("star", "en", 1)
        assert library.mended == 1
        broken.setattr("projects.qa_api.index.library.REST", 0.0)
        with pytest.raises(ValueError, match="segment lost"):
            library.search("star", "en", 1)
        assert library.mended == 2, "later it may be the index again"
    assert library.search("star", "en", 1)


def test_a_search_goes_on_while_an_index_is_made_again(store, monkeypatch):
    encoder = HashedWords()
    for document in DOCUMENTS:
        store.put("a", document, encoder.encode([document.text], "passage")[0])
    library, seen = Library(store, "a", encoder), []

    def meanwhile(_):
        seen.append((library.rebuilding, library.search("star Sun", "en", 1)[0].document.id))

    monkeypatch.setattr("projects.qa_api.index.library.CHUNK", 1)
    monkeypatch.setattr("projects.qa_api.index.library.time.sleep", meanwhile)
    before = library.snapshot
    assert library.rebuild() == 4 and library.snapshot is not before
    assert seen == [(True, "sun")] * 4 and not library.rebuilding


# ---------------------------------------------------------------- kill -9


@pytest.mark.slow
def test_what_was_acknowledged_survives_kills_and_what_was_deleted_stays_away():
    (row,) = kills.rows(4)
    assert row["acknowledged"] > 20 and row["kills"] == 4
    assert (row["lost"], row["returned"], row["index_apart"]) == (0, 0, 0)


def test_the_check_after_a_kill_sees_what_is_lost_what_returned_and_an_index_that_lags(monkeypatch):
    """Against a server that forgets and remembers the wrong things."""
    writer = kills.Writer(0, "key", {"d0-0": 3, "d0-1": None, "d0-2": 5, "d0-3": 7}, {"d0-3": 8})
    kept = {"d0-1": 2, "d0-2": 5, "d0-3": 8}

    class Client:
        def __init__(self, *_):
            pass

        def call(self, method, path):
            if path.startswith("/v1/search"):
                found = [name for name in ("d0-1", "d0-3") if writer.text(name, kept[name]).split()[0] in path]
                return 200, {"hits": [{"document": each, "beginning": writer.text(each, kept[each])} for each in found]}
            name = path.rsplit("/", 1)[1]
            return (200, {"text": writer.text(name, kept[name])}) if name in kept else (404, {})

        def close(self):
            pass

    monkeypatch.setattr(kills, "Client", Client)
    assert writer.check("") == {"lost": 1, "returned": 1, "index_apart": 1}
    assert writer.acknowledged == {"d0-0": None, "d0-1": 2, "d0-2": 5, "d0-3": 8, "d0-4": None} and not writer.pending


# ---------------------------------------------------------------- tenants


class TwoTenants(RuleBasedStateMachine):
    """Both do the same things with the same ids and questions; every text has a word that only its tenant knows."""

    client = keys = None
    used: dict  # over all runs, since a service counts from its start

    def __init__(self):
        super().__init__()
        self.kept, self.tokens = {"a": {}, "b": {}}, {"a": None, "b": None}

    @initialize()
    def empty(self):
        for tenant in "ab":
            for identity in ("x", "y", "m1", "m2"):
                self.send(tenant, "DELETE", f"/v1/documents/{identity}")

    def send(self, tenant, method, path, **more):
        answer = type(self).client.request(method, path, headers=type(self).keys[tenant], **more)
        other = "secretb" if tenant == "a" else "secreta"
        assert answer.status_code < 500 and other not in answer.text.casefold()
        kind = "questions" if "/ask" in path else "searches" if "/search" in path else "changes"
        if answer.status_code < 400 or (method == "DELETE" and answer.status_code == 404):
            type(self).used[tenant, kind] = type(self).used.get((tenant, kind), 0) + (
                method != "GET" or kind == "searches"
            )
        return answer

    tenants = st.sampled_from("ab")

    @rule(tenant=tenants, identity=st.sampled_from("xy"), version=st.integers(1, 3))
    def put(self, tenant, identity, version):
        text = f"Secret{tenant} thing {identity} version{version}."
        self.send(tenant, "PUT", f"/v1/documents/{identity}", json={"title": f"Thing {identity}", "text": text})
        self.kept[tenant][identity] = text

    @rule(tenant=tenants)
    def put_two_of_one_name(self, tenant):
        for number, what in ((1, "animal"), (2, "unit")):
            told = {"title": f"Mole ({what})", "text": f"{what.title()} secret{tenant} called a mole."}
            self.send(tenant, "PUT", f"/v1/documents/m{number}", json=told)
            self.kept[tenant][f"m{number}"] = told["text"]

    @rule(tenant=tenants, identity=st.sampled_from(["x", "y", "m1"]))
    def remove(self, tenant, identity):
        there = self.send(tenant, "DELETE", f"/v1/documents/{identity}").status_code == 200
        assert there == (self.kept[tenant].pop(identity, None) is not None)

    @rule(tenant=tenants, identity=st.sampled_from(["x", "y", "m1"]))
    def get(self, tenant, identity):
        answer = self.send(tenant, "GET", f"/v1/documents/{identity}")
        assert (answer.json()["text"] if answer.status_code == 200 else None) == self.kept[tenant].get(identity)

    @rule(tenant=tenants)
    def search(self, tenant):
        hits = self.send(tenant, "GET", "/v1/search", params={"q": "thing mole secreta secretb"}).json()["hits"]
        assert {each["document"]: each["beginning"] for each in hits} == self.kept[tenant]

    @rule(tenant=tenants, question=st.sampled_from(["What is thing x?", "What is a mole?", "secreta secretb?"]))
    def ask(self, tenant, question):
        """The same question of both: a cache that is shared would answer one with the other's words."""
        answer = self.send(tenant, "POST", "/v1/ask", json={"question": question}).json()
        if answer["source"]:
            source = answer["source"]
            text = self.kept[tenant][source["document"]]
            assert text[source["start"] : source["stop"]] == answer["text"]
        if answer["token"]:
            self.tokens[tenant] = answer["token"]

    @rule(tenant=tenants, whose=tenants)
    def follow(self, tenant, whose):
        if self.tokens[whose]:
            told = {"question": "", "token": self.tokens[whose], "document": "m2"}
            answer = self.send(tenant, "POST", "/v1/ask", json=told)
            assert (answer.status_code == 200) == (tenant == whose)

    @rule(tenant=tenants)
    def usage(self, tenant):
        told = self.send(tenant, "GET", "/v1/usage").json()
        assert told["documents"] == len(self.kept[tenant])
        wanted = {what: count for (whose, what), count in type(self).used.items() if whose == tenant}
        assert {what: told["used"].get(what, 0) for what in wanted} == wanted


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_tenants_interleaved_never_see_each_other(tmp_path, small):
    """500 interleavings, over HTTP, on one service: caches, tokens and counts of the runs before are still there."""
    keys = keys_of(small.settings)
    TwoTenants.keys = {each: {"Authorization": f"Bearer {issue(keys, each, 'admin', 'x')}"} for each in "ab"}
    TwoTenants.used = {}
    with TestClient(create_app(small, small.settings), raise_server_exceptions=False) as TwoTenants.client:
        run_state_machine_as_test(TwoTenants, settings=settings(
            max_examples=500, stateful_step_count=6, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck)))  # fmt: skip
    assert TwoTenants.used["a", "questions"] > 50 and TwoTenants.used["b", "changes"] > 50


# ---------------------------------------------------------------- keys


def lines_of(function, *given):
    """Numbers of the lines of `owner` that run, in their order, with what is compared."""
    ran, compared = [], []

    def trace(frame, event, _):
        if event == "line" and frame.f_code.co_name == "owner":
            ran.append(frame.f_lineno)
        return trace

    digest, compare = web_keys._digest, web_keys.hmac.compare_digest
    counted = []
    web_keys._digest = lambda secret: counted.append(len(secret)) or digest(secret)
    web_keys.hmac.compare_digest = lambda a, b: compared.append((len(a), len(b))) or compare(a, b)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer = function(*given)
    finally:
        sys.settrace(before)
        web_keys._digest, web_keys.hmac.compare_digest = digest, compare
    return answer, ran, len(counted), compared


def test_an_unknown_key_takes_the_path_of_a_known_one(small):
    """The same lines, the same number of digests, one comparison of equal lengths: there is nothing to time."""
    keys = keys_of(small.settings)
    known = issue(keys, "a", "read", "x")
    revoked = issue(keys, "a", "read", "gone")
    keys.revoke(revoked.split("_")[1])
    caller_of(keys, known)  # the file is read
    identity = known.split("_")[1]
    guesses = {"known": known, "wrong secret": f"qa_{identity}_{'A' * 43}", "unknown": f"qa_00000000_{'A' * 43}",
               "revoked": revoked, "no key": "Bearer", "empty": ""}  # fmt: skip
    paths = {name: lines_of(caller_of, keys, key) for name, key in guesses.items()}
    assert [name for name, path in paths.items() if path[0] is not None] == ["known"]
    assert len({(tuple(path[1]), path[2], tuple(path[3])) for path in paths.values()}) == 1
    assert paths["known"][3] == [(64, 64)] and len(paths["known"][1]) >= 4


def test_without_any_key_the_same_check_is_made(client, monkeypatch):
    asked = []
    monkeypatch.setattr("projects.qa_api.server.routes.caller_of", lambda keys, key: asked.append(key))
    for headers in ({"Authorization": ""}, {"Authorization": "Basic x"}, {"Authorization": "Bearer qa_x"}):
        assert client.get("/v1/search?q=x", headers=headers).status_code == 401
    assert asked == ["", "", "qa_x"]
