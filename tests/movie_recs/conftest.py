"""What tests share: the small world, a service over it, a client."""

import pytest
from starlette.testclient import TestClient

from projects.movie_recs.server.app import create_app
from projects.movie_recs.server.service import Movies
from projects.movie_recs.server.settings import Settings
from tests.movie_recs.world import WordEncoder, world


@pytest.fixture(scope="session")
def catalogue():
    return world()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CC0C2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settings(tmp_path):
    return Settings(data=tmp_path / "data", dataset="none", rate=1e5)


@pytest.fixture
def movies(cache, settings, catalogue):
    made = Movies(settings, WordEncoder(), catalogue)
    yield made
    made.close()


@pytest.fixture
def app(movies, settings):
    return create_app(movies, settings)


@pytest.fixture
def client(app):
    return TestClient(app, base_url="http://127.0.0.1:8000")


@pytest.fixture
def person(client):
    """A client with a profile, and the header that its changes need."""
    csrf = client.post("/api/session").json()["csrf"]
    client.headers["X-CSRF-Token"] = csrf
    return client
