"""One server for the tests that need nothing special of it."""

import pytest

from tests.ws_chat.serving import served


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("chat")) as opened:
        yield opened
