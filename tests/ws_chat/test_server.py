"""HTTP: sessions, who may do what, where requests come from, files, and the document that says so."""

import asyncio
import json
import logging
from collections import Counter
from contextlib import suppress
from http.cookies import SimpleCookie

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.server.app import create_app
from projects.ws_chat.server.settings import Settings
from shared.web import logs
from tests.ws_chat.people import HASHER, PASSWORD
from tests.ws_chat.serving import conversation, served


def stranger(server, **headers):
    return server.stranger(**headers)


def login(client, name, password=PASSWORD):
    return client.post("/api/login", json={"name": name, "password": password})


def test_the_cookie_is_for_this_server_and_no_script(server):
    client = server.person("cookie-owner")
    answer = login(stranger(server), "cookie-owner")
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["ws_chat"]
    assert cookie["httponly"] and cookie["samesite"] == "lax" and cookie["path"] == "/" and not cookie["domain"]
    assert int(cookie["max-age"]) == 7 * 24 * 3600
    assert client.get("/api/me").json()["name"] == "cookie-owner"


def test_a_session_that_somebody_else_chose_is_not_taken_and_login_makes_a_new_one(server):
    server.person("fixed")
    chosen = {"Cookie": "ws_chat=chosen-by-an-attacker"}
    assert stranger(server, **chosen).get("/api/me").status_code == 401
    first = token(login(stranger(server, **chosen), "fixed"))
    assert first != "chosen-by-an-attacker" and stranger(server, **chosen).get("/api/me").status_code == 401
    had = {"Cookie": f"ws_chat={first}"}
    assert stranger(server, **had).get("/api/me").status_code == 200
    second = token(login(stranger(server, **had), "fixed"))
    assert second != first and stranger(server, **had).get("/api/me").status_code == 401  # the browser's old one ends


def token(answer):
    assert answer.status_code == 200
    return SimpleCookie(answer.headers["Set-Cookie"])["ws_chat"].value


def test_logout_ends_the_session_and_takes_the_cookie(server):
    client = server.person()
    had = client.cookies["ws_chat"]
    assert client.post("/api/logout").status_code == 204
    assert "ws_chat" not in client.cookies
    assert stranger(server, Cookie=f"ws_chat={had}").get("/api/me").status_code == 401


CHANGES = [
    ("POST", "/api/login", {"name": "x", "password": PASSWORD}),
    ("POST", "/api/register", {"name": "x", "password": PASSWORD, "invitation": "code"}),
    ("POST", "/api/logout", None),
    ("POST", "/api/account/password", {"password": PASSWORD, "new": "another password"}),
    ("POST", "/api/account/delete", {"password": PASSWORD}),
    ("POST", "/api/invitations", {}),
    ("POST", "/api/conversations", None),
    ("PATCH", "/api/conversations/conversation-1", {"title": "x"}),
    ("DELETE", "/api/conversations/conversation-1", None),
]


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "suffix", "case", "port", "scheme", "twice"])
def test_no_page_of_others_changes_anything(server, origin):
    client = server.person(admin=True)
    own = server.origin
    odd = {
        "suffix": own + ".evil.example",
        "case": own.upper(),
        "port": own[:-1],
        "scheme": own.replace("http", "https"),
    }
    del client.headers["Origin"]
    headers = [] if origin is None else [("Origin", odd.get(origin, origin))]
    if origin == "twice":
        headers = [("Origin", own), ("Origin", "http://evil.example")]
    for method, path, body in CHANGES:
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 403, (method, path, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert client.get("/api/me").status_code == 200


def test_every_route_that_changes_something_asks_where_it_comes_from(server):
    changing = {
        (method, path)
        for path, methods in server.app.openapi()["paths"].items()
        for method in methods
        if method in ("post", "patch", "put", "delete")
    }
    listed = {(method.lower(), path.replace("conversation-1", "{conversation}")) for method, path, _ in CHANGES}
    assert listed == changing


def test_configured_origins_take_the_place_of_the_servers_own(tmp_path):
    with served(tmp_path, origins="https://chat.example") as server:
        code = server.ask(server.chat.accounts.invite())
        body = {"invitation": code, "name": "ana", "password": PASSWORD}
        for origin, status in ((server.origin, 403), ("https://chat.example", 200)):
            assert httpx.post(f"{server.url}/api/register", json=body, headers={"Origin": origin}).status_code == status


def test_what_is_somebody_elses_is_not_there(server):
    ana, bob = server.person(), server.person()
    one = conversation(ana)
    for method, path in (("PATCH", ""), ("DELETE", ""), ("GET", "/export"), ("GET", "/export?form=markdown")):
        body = {"title": "x"} if method == "PATCH" else None
        answer = bob.request(method, f"/api/conversations/{one}{path}", json=body)
        assert answer.status_code == 404, (method, path)
    assert [each["id"] for each in ana.get("/api/conversations").json()["conversations"]] == [one]
    for path in ("/api/me", "/api/conversations", f"/api/conversations/{one}/export"):
        assert stranger(server).get(path).status_code == 401


def test_only_administrators_invite(server):
    assert server.person().post("/api/invitations", json={}).status_code == 403
    made = server.person(admin=True).post("/api/invitations", json={"admin": True}).json()
    body = {"invitation": made["code"], "name": "invited-one", "password": PASSWORD}
    assert stranger(server).post("/api/register", json=body).json()["admin"] is True
    assert stranger(server).post("/api/register", json={**body, "name": "other-one"}).status_code == 422


def test_logins_are_counted_by_name_from_wherever_they_come(tmp_path):
    with served(tmp_path, logins=3, proxies="127.0.0.1") as server:
        server.person("ana")
        answers = [
            login(stranger(server, **{"X-Forwarded-For": f"10.0.0.{n}"}), name, "x" * 12)
            for n, name in enumerate(("ana", "ANA", " ana ", "\uff41na"))  # ways to write one account
        ]
        assert [each.status_code for each in answers] == [401, 401, 401, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 30
        assert login(stranger(server), "ana").status_code == 429  # the right password as well
        assert login(stranger(server), "bob", "x" * 12).status_code == 401


def test_logins_are_counted_by_address_whatever_the_name(tmp_path):
    with served(tmp_path, logins=2) as server:
        codes = [login(stranger(server), f"name-{n}", "x" * 12).status_code for n in range(9)]
        assert codes == [401] * 8 + [429]


def test_an_address_that_a_client_made_up_is_not_believed(tmp_path):
    with served(tmp_path, logins=2) as server:
        for number in range(8):
            login(stranger(server, **{"X-Forwarded-For": f"10.0.0.{number}"}), f"name-{number}", "x" * 12)
        refused = login(stranger(server, **{"X-Forwarded-For": "10.0.0.99"}), "name-x", "x" * 12)
        assert refused.status_code == 429


def test_an_account_is_deleted_with_its_password_alone(server):
    client = server.person("goes-away")
    conversation(client)
    assert client.post("/api/account/delete", json={"password": "a wrong password"}).status_code == 403
    assert client.get("/api/me").status_code == 200
    assert client.post("/api/account/delete", json={"password": PASSWORD}).status_code == 204
    assert client.get("/api/me").status_code == 401 and login(stranger(server), "goes-away").status_code == 401


def test_a_password_is_changed_with_the_old_one_and_other_sessions_end(server):
    client, other, somebody = server.person("changes"), stranger(server), server.person()
    assert login(other, "changes").status_code == 200
    change = {"password": PASSWORD, "new": "staple correct horse"}
    wrong = (
        ({**change, "password": "a wrong password"}, 403),
        ({**change, "new": "short"}, 422),
        ({**change, "new": "xx changes xx"}, 422),
    )
    for body, status in wrong:
        assert client.post("/api/account/password", json=body).status_code == status
    assert other.get("/api/me").status_code == 200
    assert client.post("/api/account/password", json=change).status_code == 204
    assert client.get("/api/me").status_code == 200 and other.get("/api/me").status_code == 401
    assert somebody.get("/api/me").status_code == 200
    assert login(stranger(server), "changes").status_code == 401
    assert login(stranger(server), "changes", change["new"]).status_code == 200


def test_files_hold_the_conversation(server):
    client = server.person()
    one = conversation(client)
    client.patch(f"/api/conversations/{one}", json={"title": "Ñ # title"})
    as_json = client.get(f"/api/conversations/{one}/export")
    assert as_json.json() == {"id": one, "title": "Ñ # title", "messages": []}
    assert as_json.headers["Content-Disposition"] == f'attachment; filename="chat-{one}.json"'
    markdown = client.get(f"/api/conversations/{one}/export?form=markdown")
    assert markdown.text == "# Ñ # title\n" and markdown.headers["Content-Type"].startswith("text/markdown")


def test_pages_ask_for_login_and_come_in_both_languages(server):
    assert stranger(server).get("/").headers["Location"] == "/login"
    client = server.person("ana-2")
    for language, text in (("es", "Conversación nueva"), ("en", "New conversation")):
        page = client.get(f"/?lang={language}")
        assert page.status_code == 200 and json.dumps(text)[1:-1] in page.text and f'lang="{language}"' in page.text
    assert client.get("/login").headers["Location"] == "/"
    assert client.get("/manifest.webmanifest").headers["Content-Type"] == "application/manifest+json"
    assert client.get("/sw.js").headers["Content-Type"].startswith("text/javascript")
    for path in ("/offline", "/login", "/docs"):
        assert stranger(server).get(path).status_code == 200


def test_health_readiness_and_numbers(server):
    client = stranger(server)
    assert client.get("/health").json()["status"] == client.get("/ready").json()["status"] == "ok"
    said = client.get("/metrics").text
    assert "chat_sockets 0.0" in said and "chat_tokens" in said
    server.chat.ready = False
    assert client.get("/ready").status_code == 503
    server.chat.ready = True


def test_nothing_that_was_said_is_logged(server, caplog):
    logs.LOGGER.propagate = True
    secret = "xyzzy-secret"
    with caplog.at_level(logging.INFO):
        client = server.person()
        one = conversation(client)
        client.patch(f"/api/conversations/{one}", json={"title": secret})
        client.get("/api/conversations", params={"search": secret})
        login(stranger(server), secret, secret)
        client.get(f"/nowhere/{secret}")
    logs.LOGGER.propagate = False
    assert caplog.records
    lines = [f"{each.getMessage()} {getattr(each, 'fields', '')}" for each in caplog.records if each.name != "httpx"]
    assert not [each for each in lines if secret in each or client.cookies["ws_chat"] in each]


def test_every_example_of_the_document_works(server):
    client = server.person(admin=True)
    document = client.get("/openapi.json").json()
    bodies = {
        path: route["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        for path, route in document["paths"].items()
        if "requestBody" in route.get("post", {})
    }
    assert set(bodies) >= {"/api/login", "/api/register", "/api/account/delete", "/api/invitations"}
    for path, name in bodies.items():
        (example,) = document["components"]["schemas"][name]["examples"]
        answer = client.post(path, json=example)
        assert answer.status_code in (200, 204, 401, 403, 422) and "reasons" not in answer.text.replace(
            '"reasons":[]', ""
        )


def test_no_request_makes_it_fail(tmp_path):
    """Requests that schemathesis makes of the document, fitting and not: none is a 5xx."""
    chosen = Settings(data=tmp_path, backend="script", rate=10_000.0, logins=1000)
    app = create_app(Scripted(), chosen, HASHER)
    document = schemathesis.openapi.from_dict(app.openapi())
    statuses = Counter()
    with asyncio.Runner() as runner:
        context = app.router.lifespan_context(app)
        runner.run(context.__aenter__())
        accounts = app.state.chat.accounts
        code = runner.run(accounts.invite(admin=True))
        token, _ = runner.run(accounts.begin(runner.run(accounts.register(code, "fuzzer", PASSWORD))))
        headers = {"Origin": "http://127.0.0.1", "Cookie": f"ws_chat={token}"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)
        for operation in (result.ok() for result in document.get_all_operations()):
            if operation.path not in ("/api/logout", "/api/account/delete"):
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    with suppress(Unsatisfiable):
                        attempted(operation.as_strategy(generation_mode=mode), client, runner, statuses)
        runner.run(client.aclose())
        runner.run(context.__aexit__(None, None, None))
    assert sum(statuses.values()) > 300 and {200, 201, 404, 422} <= statuses.keys()
    assert not [status for status in statuses if status >= 500]


def attempted(strategy, client, runner, statuses):
    checks = [HealthCheck.filter_too_much, HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=checks,
    )
    @given(case=strategy)
    def attempt(case):
        statuses[runner.run(sent(client, case))] += 1

    attempt()


async def sent(client, case):
    asked = case.as_transport_kwargs(base_url="http://127.0.0.1")
    known = {name: asked[name] for name in ("json", "content", "data", "params") if asked.get(name) is not None}
    if isinstance(known.get("data"), bytes | str):
        known["content"] = known.pop("data")
    headers = {name: value for name, value in dict(asked.get("headers") or {}).items() if value.isascii()}
    headers = {name: value for name, value in headers.items() if name.lower() not in ("cookie", "origin", "host")}
    return (await client.request(asked["method"], asked["url"], headers=headers, **known)).status_code
