"""What tests share: one server, each kind of database, a Redis, somebody with a browser."""

import subprocess
import time

import pytest
from redis import Redis

from tests.ws_chat import postgres
from tests.ws_chat.serving import served
from tests.ws_chat.visitor import Visitor


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("chat")) as opened:
        yield opened


@pytest.fixture(scope="session")
def new_postgres():
    """Makes an empty database and gives its URL."""
    if not postgres.usable():
        pytest.skip(postgres.ABSENT)
    with postgres.server() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database's URL."""
    return (
        f"sqlite:///{tmp_path / 'chat.sqlite'}"
        if request.param == "sqlite"
        else request.getfixturevalue("new_postgres")()
    )


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    path = tmp_path_factory.mktemp("redis") / "s"
    words = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, cwd=path.parent) as process:
        with Redis(unix_socket_path=str(path)) as client:
            while True:
                try:
                    client.ping()
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(0.01)
                except Exception:
                    time.sleep(0.01)
            yield f"unix://{path}"
        process.terminate()


@pytest.fixture
def empty(redis):
    with Redis.from_url(redis) as client:
        client.flushall()
        yield client


@pytest.fixture
def visit(chromium):
    contexts = []

    def visiting(server, client=None, **options):
        visitor = Visitor(chromium, server, client or server.person(), **options)
        contexts.append(visitor.context)
        return visitor

    yield visiting
    for context in contexts:
        context.close()
