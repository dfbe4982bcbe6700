"""The guard of conftest.py does guard."""

import os
import socket
import urllib.request

import pytest


def test_a_connection_to_another_machine_fails_at_once():
    with pytest.raises(AssertionError, match=r"tried to reach 192\.0\.2\.1"), socket.socket() as outside:
        outside.connect(("192.0.2.1", 80))


def test_a_look_up_fails_at_once():
    with pytest.raises(AssertionError, match="tried to look up"):
        urllib.request.urlopen("http://example.org")


def test_loopback_is_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getpeername() == server.getsockname()


def test_hub_and_telemetry_are_off():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
