"""One server for the tests that need nothing special of it, and each kind of database for those of what is kept."""

import pytest

from tests.ws_chat import postgres
from tests.ws_chat.serving import served


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
