"""A tiny encoder of random weights, a file of news whose topics words give away, and a service over both."""

import csv
from contextlib import contextmanager
from dataclasses import replace

import pytest

from projects.news_cls.classifier import Classifier
from projects.news_cls.config import SMOKE
from projects.news_cls.models.prepared import Prepared
from projects.news_cls.monitor.memory import Memory
from projects.news_cls.server.app import create_app
from projects.news_cls.server.service import Service
from projects.news_cls.server.settings import Settings
from projects.news_cls.train import train

WORDS = {
    "money": ("bank shares profit market", "oil price trade loan"),
    "sport": ("goal match coach league", "race medal team final"),
    "tech": ("phone software chip network", "robot screen data code"),
}
FILLERS = ["today", "city", "people", "year", "week", "minister", "report", "street", "river", "house"]
TOKEN = "a token of the tests"


def news_rows(count=150, start=0):
    """Distinct texts; every third is of one topic."""
    rows = []
    for number in range(start, start + count):
        topic, sets = list(WORDS.items())[number % 3]
        own = sets[number // 3 % 2].split()
        fill = [FILLERS[(number * step) % len(FILLERS)] for step in (1, 3, 7)]
        rows.append(
            (f"item{number} {own[number % 4]} {fill[0]} {own[(number + 1) % 4]} {fill[1]} story{number}", topic)
        )
    return rows


def write_news(path, rows, columns=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, save_tiny_bert):
    """A folder with model/ and news.csv."""
    folder = tmp_path_factory.mktemp("news")
    save_tiny_bert(folder / "model")
    write_news(folder / "news.csv", news_rows())
    return folder


@pytest.fixture(scope="session")
def base(tiny):
    """SMOKE on the tiny encoder and file."""
    return replace(SMOKE, model=str(tiny / "model"), dataset=str(tiny / "news.csv"))


@pytest.fixture(scope="session")
def trained(base, tiny):
    """A finished run, with its memory beside it."""
    config = replace(base, epochs=3, lr=1e-2, out=tiny / "run")
    found = train(config, Prepared())
    classifier = Classifier.load(tiny / "run", precision="float32")
    Memory.of(classifier, found.corpus).write(tiny / "run")
    return found


@pytest.fixture(scope="session")
def classifier(trained):
    return Classifier.load(trained.directory, precision="float32")


@pytest.fixture(scope="session")
def memory(trained):
    return Memory.read(trained.directory)


@pytest.fixture
def make_app(classifier, memory, tmp_path):
    """make_app(**settings): an application with a database of its own."""

    def make(**told):
        settings = Settings(**{"data": tmp_path / "service", "token": TOKEN, "rate": 10_000.0, **told})
        return create_app(Service(replace(classifier), memory, settings))

    return make


@contextmanager
def client_of(app):
    """HTTP without a socket, the application started and stopped."""
    from starlette.testclient import TestClient

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(make_app):
    with client_of(make_app()) as opened:
        yield opened
