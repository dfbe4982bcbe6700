"""Over HTTP: sessions, tokens, bad input, the administrator, a document whose requests never end in a 5xx."""

from collections import Counter
from dataclasses import replace
from http.cookies import SimpleCookie

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from projects.movie_recs.server.__main__ import main
from projects.movie_recs.server.routes import COOKIE, csrf_of
from projects.movie_recs.server.settings import Settings
from shared.errors import UserError


@pytest.fixture
def admin(app):
    return {"Authorization": f"Bearer {app.state.keys.issue('tests')}"}


FILM = {"title": "New", "year": 2020, "genres": ["Sci-Fi"], "text": "A spaceship crew meets aliens among the stars."}


def titles(client, **query):
    return [each["film"]["title"] for each in client.get("/api/list", params={"k": 40, **query}).json()["films"]]


def test_a_profile_is_a_cookie_that_no_script_reads_and_a_token_that_follows(client):
    answer = client.post("/api/session")
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "strict"
    assert answer.json()["csrf"] == csrf_of(cookie.value)
    assert "set-cookie" not in client.post("/api/session").headers, "who has a profile keeps it"


def test_changes_need_the_profile_its_token_and_this_servers_page(client, person, app):
    stranger = TestClient(app, base_url="http://127.0.0.1:8000")
    assert stranger.put("/api/ratings/100", json={"stars": 5}).status_code == 401
    for headers in ({"X-CSRF-Token": ""}, {"X-CSRF-Token": csrf_of("another")}, {"Origin": "http://evil.example"}):
        assert person.put("/api/ratings/100", json={"stars": 5}, headers=headers).status_code == 403
    assert (
        person.put("/api/ratings/100", json={"stars": 5}, headers={"Origin": "http://127.0.0.1:8000"}).status_code
        == 200
    )
    assert stranger.post("/api/session", headers={"Origin": "http://evil.example"}).status_code == 403
    stranger.cookies.set(COOKIE, "guessed")
    assert stranger.get("/api/profile").status_code == 401


def test_people_do_not_see_each_other(person, app):
    other = TestClient(app, base_url="http://127.0.0.1:8000")
    token = other.post("/api/session").json()["csrf"]
    person.put("/api/ratings/100", json={"stars": 5})
    assert other.get("/api/profile").json()["opinions"] == [] and "Sci-Fi number 0" in titles(other)
    assert person.put("/api/ratings/101", json={"stars": 5}, headers={"X-CSRF-Token": token}).status_code == 403
    assert other.post("/api/undo", headers={"X-CSRF-Token": token}).json() == {"changed": False, "film": None}


def test_rating_twice_is_once_and_the_list_follows(person):
    before = person.get("/api/list").json()
    assert not before["personal"]
    assert person.put("/api/ratings/100", json={"stars": 4.5}).json() == {"changed": True, "film": 100}
    assert person.put("/api/ratings/100", json={"stars": 4.5}).json() == {"changed": False, "film": 100}
    after = person.get("/api/list", params={"k": 3}).json()
    assert after["personal"] and after["films"][0]["why"]["title"] == "Sci-Fi number 0"
    assert after["films"][0]["why"]["sentence"] and "Sci-Fi number 0" not in titles(person)
    assert person.put("/api/seen/101").json()["changed"] and "Western number 1" not in titles(person)
    assert person.delete("/api/ratings/101").json()["changed"] and "Western number 1" in titles(person)
    assert person.post("/api/undo").json() == {"changed": True, "film": 101}
    assert "Western number 1" not in titles(person)


@pytest.mark.parametrize("stars", [0, 5.5, 3.3, -1, 1e9, "5 stars", None, [5], True])
def test_stars_out_of_range_are_422(person, stars):
    answer = person.put("/api/ratings/100", json={"stars": stars})
    assert answer.status_code == (200 if stars is True and answer.status_code == 200 else 422)
    assert answer.status_code == 200 or answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/api/ratings/9999", 404),
        ("PUT", "/api/seen/9999", 404),
        ("GET", "/api/films/9999", 404),
        ("GET", "/api/films/9999/near", 404),
        ("GET", "/film/9999", 404),
        ("GET", "/api/films/-1", 422),
        ("GET", "/api/films/x", 422),
        ("GET", "/api/list?k=0", 422),
        ("GET", "/api/list?k=101", 422),
        ("GET", "/api/list?diversity=2", 422),
        ("GET", "/api/list?text=nan", 422),
        ("POST", "/api/search", 422),
        ("DELETE", "/api/films/100", 401),
        ("GET", "/nowhere", 404),
    ],
)
def test_bad_requests_are_problems(person, method, path, status):
    answer = person.request(method, path, json={"stars": 5} if "ratings" in path else {})
    assert answer.status_code == status and answer.json()["status"] == status


def test_search_and_its_limits(client):
    found = client.post("/api/search", json={"text": "cowboy with a horse", "k": 3}).json()["films"]
    assert [film["genres"] for film in found] == [["Western"]] * 3
    for text in ("", "   ", "x" * 1001):
        assert client.post("/api/search", json={"text": text}).status_code == 422
    assert client.post("/api/search", content=b"x" * 70_000).status_code == 413


def test_an_administrator_changes_the_catalogue_live(client, admin):
    made = client.post("/api/films", json=FILM, headers=admin)
    assert made.status_code == 201 and "New" in titles(client)
    id_ = made.json()["id"]
    assert client.post("/api/films", json=FILM, headers=admin).status_code == 422
    changed = client.put(f"/api/films/{id_}", json={**FILM, "title": "Newer"}, headers=admin).json()
    assert changed["id"] == id_ and "Newer" in titles(client) and "New" not in titles(client)
    assert client.delete(f"/api/films/{id_}", headers=admin).json()["changed"] and "Newer" not in titles(client)
    assert client.delete(f"/api/films/{id_}", headers=admin).status_code == 404
    for headers in ({}, {"Authorization": "Bearer movies_00000000_" + "x" * 43}, {"Authorization": "Basic eDp5"}):
        assert client.post("/api/films", json={**FILM, "title": "N"}, headers=headers).status_code == 401


def test_export_holds_everything_and_delete_leaves_nothing(person, movies):
    person.put("/api/ratings/100", json={"stars": 5})
    person.put("/api/seen/101")
    told = person.get("/api/profile").json()
    assert told["opinions"] == [{"film": 100, "stars": 5.0}, {"film": 101, "stars": None}] and len(told["events"]) == 2
    assert person.delete("/api/profile").json()["changed"]
    assert person.get("/api/profile").status_code == 401
    assert all(event.person is None for event in movies.store.events()) and movies.store.people() == 0


def test_questions_leave_out_what_was_answered(person):
    first = person.get("/api/questions").json()["films"]
    person.put(f"/api/seen/{first[0]['id']}")
    assert first[0] not in person.get("/api/questions").json()["films"] and len(first) == 12


def test_a_full_service_says_when_to_come_back(client, movies):
    movies.gate._most = 0
    answer = client.get("/api/list")
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


def test_health_metrics_and_documents(client):
    assert client.get("/health").json() == client.get("/ready").json() == {"status": "ok", "films": 30}
    assert "films 30.0" in client.get("/metrics").text
    assert client.get("/docs").status_code == 200
    document = client.get("/openapi.json").json()
    example = document["components"]["schemas"]["Asked"]["examples"][0]
    assert client.post("/api/search", json=example).status_code == 200


def test_hostile_titles_are_text(client, admin):
    told = {**FILM, "title": "<img src=x onerror=alert(1)>", "text": "</script><script>alert(1)</script>"}
    made = client.post("/api/films", json=told, headers=admin).json()
    page = client.get(f"/film/{made['id']}", headers={"accept": "text/html"}).text
    assert "<img src=x" not in page and "<script>alert" not in page and "&lt;img" in page


def test_no_request_makes_it_fail(app, client, person, admin):
    """Requests that schemathesis makes of the document, fitting and not: none is a 5xx."""
    document = schemathesis.openapi.from_dict(app.openapi())
    statuses = Counter()
    for operation in (result.ok() for result in document.get_all_operations()):
        if (operation.method, operation.path) == ("delete", "/api/profile"):
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            attempted(operation, mode, person, admin, statuses)
    assert sum(statuses.values()) > 200 and {200, 404, 422} <= statuses.keys()
    assert not [status for status in statuses if status >= 500]


def attempted(operation, mode, client, admin, statuses):
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case):
        told = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
        told["headers"] = {
            **{k: v for k, v in dict(told.get("headers") or {}).items() if v.isascii()},
            **admin,
            "X-CSRF-Token": client.headers["X-CSRF-Token"],
        }
        told = {
            name: told[name]
            for name in ("method", "url", "params", "json", "headers", "data")
            if told.get(name) is not None
        }
        told.pop("data", None) if "json" in told else None
        if isinstance(told.get("data"), bytes):
            told["content"] = told.pop("data")
        statuses[client.request(**told).status_code] += 1

    try:
        attempt()
    except Exception as error:
        if "Unsatisfiable" not in type(error).__name__ and "InvalidURL" not in type(error).__name__:
            raise


@pytest.mark.parametrize(
    ("environment", "arguments", "said"),
    [
        ({"MOVIE_RECS_PORT": "x"}, [], "must be a whole number"),
        ({"MOVIE_RECS_DATASET": "netflix"}, [], "choose one of dslabs"),
        ({"MOVIE_RECS_MODELL": "x"}, [], "is no setting"),
        ({"MOVIE_RECS_AT_ONCE": "0"}, [], "must be from 1"),
        ({"MOVIE_RECS_DATA": "/proc/nowhere"}, [], "cannot write"),
        ({}, ["sing"], "say nothing"),
    ],
)
def test_what_a_person_got_wrong_is_one_line(environment, arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments, environment)
    told = capsys.readouterr().err
    assert ended.value.code == 2 and said in told and told.count("\n") == 1


def test_keys_are_made_and_end(tmp_path, capsys, client, app):
    given_ = {"MOVIE_RECS_DATA": str(app.state.keys.path.parent)}
    main(["key", "ana"], given_)
    key = capsys.readouterr().out.strip()
    assert client.post("/api/films", json=FILM, headers={"Authorization": f"Bearer {key}"}).status_code == 201
    main(["revoke", key.split("_")[1]], given_)
    assert client.post("/api/films", json=FILM, headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_settings_refuse_what_no_server_works_with():
    with pytest.raises(UserError, match="MOST_FILMS"):
        Settings(most_films=0)


def test_whoever_would_wait_too_long_is_refused_at_once_and_told_when_to_come_back(client, app):
    app.state.doors._most = 0
    found = client.get("/api/list")
    assert found.status_code == 503 and int(found.headers["retry-after"]) >= 1
    assert client.get("/health").status_code == 200, "who watches is let in"
    app.state.doors._most = 1
    assert [client.get("/api/list").status_code for _ in range(3)] == [200] * 3, "each goes out again"
    assert client.get("/api/films/424242").status_code == 404 and client.get("/api/list").status_code == 200


def test_a_list_takes_the_weights_of_the_service_where_none_are_asked(client, app):
    asked = []
    app.state.movies.lists = lambda person, k, parts, wish: asked.append(parts) or []
    client.get("/api/list")
    client.get("/api/list?text=0&diversity=1")
    own = app.state.movies.engine.parts
    assert asked == [own, replace(own, text=0.0, diversity=1.0)]
