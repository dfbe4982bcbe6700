"""The service over HTTP: keys and scopes, tenants, documents that come and go, follow-ups."""

import json
import logging
import threading

import pytest
from fastapi.testclient import TestClient

from projects.qa_api.answers import Answer, Given
from projects.qa_api.client import Client, ServiceError
from projects.qa_api.measure import cases
from projects.qa_api.reader.calibrate import Evidence
from projects.qa_api.server import schemas
from projects.qa_api.server.app import create_app, keys_of
from projects.qa_api.server.followups import FollowUps, secret_of
from projects.qa_api.server.people import issue
from shared.errors import UserError
from shared.lab.browser import served
from tests.qa_api.conftest import DOCUMENTS


@pytest.fixture
def app(service):
    return create_app(service, service.settings)


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def key(service):
    def made(tenant="a", scope="admin", name="ana"):
        return {"Authorization": f"Bearer {issue(keys_of(service.settings), tenant, scope, name)}"}

    return made


SUN = {"title": "Sun", "text": DOCUMENTS[0].text, "language": "en"}


# ---------------------------------------------------------------- who may what


@pytest.mark.parametrize("told", [None, "Bearer no", "Basic YTpi", "Bearer qa_00000000_" + "x" * 43])
def test_without_a_known_key_it_is_401(client, told):
    answer = client.post("/v1/ask", json={"question": "x"}, headers={"Authorization": told} if told else {})
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("method", "path", "scope", "allowed"),
    [("PUT", "/v1/documents/sun", "read", False), ("PUT", "/v1/documents/sun", "write", True),
     ("GET", "/v1/usage", "write", False), ("GET", "/v1/usage", "admin", True),
     ("POST", "/v1/index", "write", False), ("GET", "/v1/search?q=sun", "read", True)],
)  # fmt: skip
def test_a_scope_includes_the_smaller_ones_and_no_larger(client, key, method, path, scope, allowed):
    answer = client.request(method, path, headers=key(scope=scope), json=SUN if method == "PUT" else None)
    assert (answer.status_code == 403) is not allowed and answer.status_code < 500


def test_a_tenant_a_scope_and_a_name_are_checked_when_a_key_is_made(service):
    keys = keys_of(service.settings)
    for tenant, scope in (("A b", "read"), ("", "read"), ("a", "root"), ("a:b", "read")):
        with pytest.raises(UserError):
            issue(keys, tenant, scope, "x")


def test_two_tenants_with_the_same_ids_never_meet(client, key):
    a, b = key("a"), key("b")
    client.put("/v1/documents/sun", json=SUN, headers=a)
    client.put(
        "/v1/documents/sun", json={**SUN, "text": "The Sun is a newspaper from London, of all things."}, headers=b
    )
    assert client.get("/v1/documents/sun", headers=a).json()["text"] == SUN["text"]
    assert "newspaper" in client.get("/v1/search", params={"q": "sun"}, headers=b).json()["hits"][0]["beginning"]
    assert client.delete("/v1/documents/sun", headers=b).status_code == 200
    assert client.get("/v1/documents/sun", headers=a).status_code == 200
    assert client.get("/v1/search", params={"q": "sun"}, headers=b).json()["hits"] == []


# ---------------------------------------------------------------- documents


def test_put_is_idempotent_and_found_at_once(client, key):
    who = key()
    first = client.put("/v1/documents/sun", json=SUN, headers=who)
    again = client.put("/v1/documents/sun", json=SUN, headers=who)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["ETag"] == again.headers["ETag"] == f'"{first.json()["etag"]}"'
    assert client.get("/v1/search", params={"q": "star"}, headers=who).json()["hits"][0]["document"] == "sun"


def test_an_old_etag_is_412_and_changes_nothing(client, key):
    who = key()
    etag = client.put("/v1/documents/sun", json=SUN, headers=who).headers["ETag"]
    newer = {**SUN, "text": "The Sun is a newspaper from London, of all things."}
    assert client.put("/v1/documents/sun", json=newer, headers={**who, "If-Match": etag}).status_code == 200
    assert client.put("/v1/documents/sun", json=SUN, headers={**who, "If-Match": etag}).status_code == 412
    assert client.put("/v1/documents/sun", json=SUN, headers={**who, "If-None-Match": "*"}).status_code == 412
    assert client.delete("/v1/documents/sun", headers={**who, "If-Match": etag}).status_code == 412
    assert client.get("/v1/documents/sun", headers=who).json()["text"] == newer["text"]


def test_a_deleted_document_is_in_no_search_and_no_kept_answer(client, key, service, monkeypatch):
    who = key()
    client.put("/v1/documents/sun", json=SUN, headers=who)
    own = service.answerer("a")

    def ask(question, language=None, *, only=None):
        documents = list(own.library.snapshot.documents.values())
        given = Given(documents[0], 0, 3, 0.9, Evidence(1.0, 1.0, 0.0, 1.0, 1.0, 1.0)) if documents else None
        return Answer("answer" if given else "none", "en", given)

    monkeypatch.setattr(own, "ask", ask)
    assert client.post("/v1/ask", json={"question": "sun?"}, headers=who).json()["kind"] == "answer"
    client.delete("/v1/documents/sun", headers=who)
    assert client.post("/v1/ask", json={"question": "sun?"}, headers=who).json()["kind"] == "none"


def test_many_at_once_are_told_of_one_by_one(client, key, service):
    who = key()
    object.__setattr__(service.settings, "most", 2)
    many = [{"id": f"d{n}", "title": f"T{n}", "text": f"Text number {n}.", "language": "en"} for n in range(3)]
    items = client.post("/v1/documents", json={"documents": many}, headers=who).json()["items"]
    assert [each["status"] for each in items] == ["created", "created", "refused"]
    assert "as many as a tenant may have" in items[2]["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/v1/documents/sun", {"title": "", "text": "x"}, 422), ("/v1/documents/sun", {"title": "x"}, 422),
     ("/v1/documents/..%2Fx", SUN, 404), ("/v1/documents/ sun", SUN, 422),
     ("/v1/documents/sun", {**SUN, "language": "fr"}, 422)],
)  # fmt: skip
def test_what_is_no_document_is_refused_in_a_line(client, key, path, body, status):
    answer = client.put(path, json=body, headers=key())
    assert answer.status_code == status and answer.headers["content-type"].startswith("application/problem+json")


def test_ten_megabytes_are_refused_before_they_are_read(client, key):
    answer = client.put("/v1/documents/big", content=b"x" * 10_000_000, headers=key())
    assert answer.status_code == 413


# ---------------------------------------------------------------- questions and follow-ups


def test_a_question_back_is_answered_by_its_token_alone(client, key):
    who = key()
    for document in DOCUMENTS:
        told = {"title": document.title, "text": document.text, "language": document.language}
        client.put(f"/v1/documents/{document.id}", json=told, headers=who)
    asked = client.post("/v1/ask", json={"question": "What is a mole?"}, headers=who).json()
    assert asked["kind"] == "clarify" and {each["document"] for each in asked["options"]} == {
        "mole-animal",
        "mole-unit",
    }
    follow = {"question": "", "token": asked["token"], "document": "mole-unit"}
    chosen = client.post("/v1/ask", json=follow, headers=who).json()
    assert chosen["source"] is None or chosen["source"]["document"] == "mole-unit"
    for wrong, headers in (({**follow, "document": "sun"}, who), ({**follow, "token": follow["token"][:-2]}, who),
                           (follow, key(name="other"))):  # fmt: skip
        assert client.post("/v1/ask", json=wrong, headers=headers).status_code == 422


def test_a_token_is_over_in_time_and_bound_to_its_owner(tmp_path):
    now = [1000.0]
    made = FollowUps(secret_of(tmp_path), 60, clock=lambda: now[0])
    token = made.issue("a:read:x", "¿Qué?", "es", ["one", "two"])
    assert made.read("a:read:x", token).options == ("one", "two")
    assert made.read("a:read:y", token) is None and made.read("a:read:x", token + "A") is None
    assert made.read("a:read:x", "no.token") is None and made.read("a:read:x", "ñ") is None
    now[0] = 1061
    assert made.read("a:read:x", token) is None
    assert secret_of(tmp_path) == secret_of(tmp_path) and (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_there_whole_or_not_at_all_and_replicas_agree_on_it(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("projects.qa_api.server.followups.os.link", killed)
    with pytest.raises(KeyboardInterrupt):
        secret_of(tmp_path)
    assert not list(tmp_path.iterdir()), "a start that was killed does not stop the next one"
    monkeypatch.undo()
    made = []
    threads = [threading.Thread(target=lambda: made.append(secret_of(tmp_path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(made)) == 1 and len(made) == 8 and [each.name for each in tmp_path.iterdir()] == ["secret"]
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(UserError, match="is no secret"):
        secret_of(tmp_path)


def test_an_answer_stands_where_it_is_said_to_stand(client, key):
    who = key()
    client.put("/v1/documents/sun", json=SUN, headers=who)
    for question in ("What is the Sun?", "How old is the Sun?", "¿Qué es el Sol? 🌞"):
        told = client.post("/v1/ask", json={"question": question}, headers=who).json()
        if told["source"]:
            assert SUN["text"][told["source"]["start"] : told["source"]["stop"]] == told["text"]


def test_a_stream_gives_each_answer_as_it_is_done(client, key):
    who = key()
    asked = {"questions": [{"question": "a?"}, {"question": ""}]}
    lines = client.post("/v1/ask/stream", json=asked, headers=who).text.splitlines()
    told = [json.loads(line) for line in lines]
    assert [(each["done"], each["of"]) for each in told] == [(1, 2), (2, 2)]
    batch = client.post("/v1/ask/batch", json=asked, headers=who).json()["answers"]
    assert [each["answer"] for each in told] == batch


def test_feedback_is_counted_once_an_answer_and_usage_has_no_contents(client, key):
    who = key()
    identity = client.post("/v1/ask", json={"question": "secret words?"}, headers=who).json()["id"]
    for right in (True, False, False):
        assert client.post("/v1/feedback", json={"answer": identity, "right": right}, headers=who).status_code == 200
    told = client.get("/v1/usage", headers=who)
    assert (told.json()["right"], told.json()["wrong"]) == (0, 1) and "secret" not in told.text


def test_more_questions_than_may_wait_are_told_to_come_back(client, key, service):
    who = key()
    service.gate._inside = service.settings.at_once + service.settings.waiting
    answer = client.post("/v1/ask", json={"question": "now?"}, headers=who)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1


def test_a_stream_says_of_a_question_that_is_refused_why_and_goes_on(client, key, service):
    who = key()
    asked = {"questions": [{"question": "", "token": "no", "document": "x"}, {"question": "now?"}]}
    told = [json.loads(line) for line in client.post("/v1/ask/stream", json=asked, headers=who).text.splitlines()]
    assert told[0]["refused"]["status"] == 422 and told[1]["answer"]["kind"] == "none"
    service.gate._inside = service.settings.at_once + service.settings.waiting
    (line,) = client.post("/v1/ask/stream", json={"questions": [{"question": "again?"}]}, headers=who).text.splitlines()
    assert json.loads(line)["refused"]["status"] == 503


# ---------------------------------------------------------------- limits, ids, audit, document


def test_a_key_has_a_limit_of_its_own_and_an_address_a_larger_one(service, key):
    object.__setattr__(service.settings, "rate", 1.0)
    app = create_app(service, service.settings)
    app.state.limiter.clock = app.state.web.limiter.clock = lambda: 0.0
    one, other = key(name="one"), key(name="other")
    with TestClient(app, raise_server_exceptions=False) as client:
        told = [client.get("/v1/search?q=x", headers=one).status_code for _ in range(5)]
        assert told == [200, 200, 200, 429, 429]
        answer = client.get("/v1/search?q=x", headers=one)
        assert int(answer.headers["Retry-After"]) >= 1 and "of this key" in answer.json()["detail"]
        assert client.get("/v1/search?q=x", headers=other).status_code == 200
        guesses = [client.get("/v1/search?q=x", headers={"Authorization": "Bearer x"}).status_code for _ in range(25)]
        assert guesses[0] == 401 and guesses[-1] == 429, "who guesses keys is limited by his address"


def test_an_audit_has_who_changed_what_and_no_contents(client, key):
    who, writer = key(), key(scope="write", name="bot")
    secret = "Sesame opens the mountain."
    etag = client.put(
        "/v1/documents/cave", json={"title": "Cave", "text": secret}, headers={**writer, "X-Request-ID": "request-0001"}
    )
    client.put("/v1/documents/cave", json={"title": "Cave", "text": secret}, headers=writer)  # changes nothing
    client.post("/v1/ask", json={"question": "What opens the mountain?"}, headers=writer)
    client.post("/v1/index", headers=who)
    client.delete("/v1/documents/cave", headers=writer)
    told = client.get("/v1/audit", headers=who)
    acts = [(each["key"], each["action"], each["document"]) for each in told.json()["acts"]]
    assert acts == [("a:write:bot", "remove", "cave"), ("a:admin:ana", "rebuild", ""), ("a:write:bot", "put", "cave")]
    assert told.json()["acts"][2]["request"] == "request-0001" and told.json()["acts"][2]["etag"] == etag.json()["etag"]
    assert "Sesame" not in told.text and "mountain" not in told.text
    assert client.get("/v1/audit", headers=key("b")).json()["acts"] == []
    assert client.get("/v1/audit", headers=writer).status_code == 403


def test_the_log_has_ids_and_no_contents(client, key, caplog):
    with caplog.at_level("INFO", logger="shared.web"):
        logging.getLogger("shared.web").propagate = True
        client.put("/v1/documents/cave", json={"title": "Cave", "text": "Sesame opens."}, headers=key())
        answer = client.post("/v1/ask", json={"question": "Sesame?"}, headers={**key(), "X-Request-ID": "request-0002"})
    assert answer.headers["X-Request-ID"] == "request-0002"
    lines = [str(getattr(each, "fields", "")) for each in caplog.records]
    assert any("request-0002" in each for each in lines) and not any(
        "Sesame" in each or "qa_" in each for each in lines
    )


def test_every_example_of_the_document_works(client, key):
    who, document = key(), client.get("/openapi.json").json()
    worked = set()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            examples = (
                document["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]].get("examples", [])
                if body
                else [None]
            )
            assert examples, f"{path} has no example"
            for example in examples:
                filled = path.replace("{identity}", "sun")
                query = {
                    each["name"]: each["schema"]["examples"][0]
                    for each in route.get("parameters", ())
                    if each["in"] == "query" and each["required"]
                }
                answer = client.request(method.upper(), filled, json=example, params=query, headers=who)
                assert answer.status_code in (200, 201, 404), (path, method, answer.text)
                worked.add((path, method))
    assert len(worked) >= 12


def test_requests_made_from_the_document_never_make_it_fail():
    """2,000 of them are a measurement of the study; here are fewer."""
    (row,) = cases.rows(250)
    assert row["cases"] >= 250 and row["failed"] == 0 and row["ok"] > 20 and row["refused"] > 20


def test_the_client_speaks_as_the_service_does(service, key):
    own = key()["Authorization"].removeprefix("Bearer ")
    with served(create_app(service, service.settings)) as url, Client(url, own) as client:
        for document in DOCUMENTS:
            given = schemas.Document(title=document.title, text=document.text, language=document.language)
            kept = client.put(document.id, given)
        (item,) = client.put_many([schemas.Named(id="x", title="X", text="Some text.")])
        assert item.status == "created"
        asked = client.ask("What is a mole?")
        assert asked.kind == "clarify" and client.choose(asked, "mole-unit").kind in ("answer", "none")
        assert client.search("star", 1)[0].document == "sun" and len(client.ask_many(["a?", "b?"])) == 2
        with pytest.raises(ServiceError, match="412"):
            client.put("malta", schemas.Document(title="M", text="t"), if_match="0" * 32)
        client.put("malta", schemas.Document(title="M", text="t"), if_match=kept.etag)
        client.feedback(asked, right=True)
        client.remove("malta")
        with pytest.raises(ServiceError, match="404"):
            client.remove("malta")
        assert client.usage().documents == 4 and client.usage().right == 1
