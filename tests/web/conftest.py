"""A client of the small service of probe.py."""

import pytest
from starlette.testclient import TestClient

from tests.web.probe import make


@pytest.fixture
def client():
    with TestClient(make(body={"": 2000, "/raw": 5000}), raise_server_exceptions=False) as opened:
        yield opened
