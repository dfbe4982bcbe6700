"""What every test gets: fixed seeds, no network, no hub, the demo key, and types and shapes checked as they run."""

import csv
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from jaxtyping import install_import_hook

# A core a process of tests and its children: models this small gain nothing from a second thread, and wait for it; and
# two workers that share the cores with several threads each are slower than one alone. Who only hands tests out to
# workers keeps every core: they inherit what it has.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
if hasattr(os, "sched_setaffinity") and (WORKER or not any(word.startswith("-n") for word in sys.argv)):
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[int(WORKER or os.getpid()) % len(allowed)]})

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("CC0C2_TEAM", "CC0C2_TEAM_KEY", "CC0C2_TEAM_KEY_FILE"):
    os.environ.pop(name, None)  # what tests seal, fixtures of a session included, they seal with the demo key

install_import_hook(["projects"], "beartype.beartype")  # before the first import of a project

from shared.lab import browser
from shared.seeding import seed_everything

LOOPBACK = ("127.", "localhost", "::1")


class NetworkUsedError(AssertionError):
    """A test tried to leave this machine."""


def pytest_collection_modifyitems(config, items):
    """Where there is no browser, tests that need one are left out, and the summary says so."""
    if browser.executable() is None:
        needing = [item for item in items if item.get_closest_marker("browser")]
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def pytest_terminal_summary(terminalreporter, config):
    if browser.executable() is None:
        names = ", ".join(browser.NAMES)
        terminalreporter.write_line(f"tests of pages left out: no browser ({names}) is installed", yellow=True)


@pytest.fixture(scope="module")
def chromium():
    """Playwright's browser, started once a file: while it is open, no other test could run an event loop of its own."""
    with browser.browser() as opened:
        yield opened


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


# ---------------------------------------------------------------- small models and data


@pytest.fixture(scope="session")
def save_tiny_bert():
    """save(folder, layers, width): a BERT of random weights with MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from shared.assets import load_encoder

    def save(folder, *, layers=2, width=32):
        _, tokenizer = load_encoder("minilm")
        torch.manual_seed(0)
        size = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2}
        BertModel(BertConfig(vocab_size=len(tokenizer), intermediate_size=2 * width, **size)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save


KINDS = {"place": "where city river country", "person": "who wrote woman leader", "number": "many count year old"}


@pytest.fixture(scope="module")
def questions(tmp_path_factory, save_tiny_bert):
    """A folder with model/, a tiny BERT, and questions.csv, three kinds of question that words give away."""
    folder = tmp_path_factory.mktemp("questions")
    save_tiny_bert(folder / "model")
    with (folder / "questions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "kind"])
        for number in range(240):
            kind, words = list(KINDS.items())[number % 3]
            writer.writerow([f"{words.split()[number // 3 % 4]} {words.split()[number // 12 % 4]} item{number}", kind])
    return folder


@pytest.fixture
def refusing():
    """A server that takes every second POST, after a while: its address, and the bodies that it was sent."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(0.05)
            self.send_response(200 if len(asked) % 2 else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
