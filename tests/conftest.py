"""What every test gets: fixed seeds, no network, no hub, the demo key, and types and shapes checked as they run."""

import socket

import pytest
from jaxtyping import install_import_hook

install_import_hook(["projects"], "beartype.beartype")  # before the first import of a project

from shared.seeding import seed_everything

LOOPBACK = ("127.", "localhost", "::1")


class NetworkUsedError(AssertionError):
    """A test tried to leave this machine."""


@pytest.fixture(autouse=True)
def _seeded():
    seed_everything(0)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """A connection to anything but this machine fails at once, and says so."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self, address):
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(LOOPBACK):
            raise NetworkUsedError(f"a test tried to reach {address[0]}")
        return connect(self, address)

    def guarded_resolve(host, *rest, **options):
        if host is not None and not str(host).startswith(LOOPBACK):
            raise NetworkUsedError(f"a test tried to look up {host}")
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


@pytest.fixture(autouse=True)
def _demo_key(monkeypatch):
    for name in ("CC0C2_TEAM", "CC0C2_TEAM_KEY", "CC0C2_TEAM_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
