"""A server as a process: it says where, finishes what it has begun when it is told to stop, and fails in one line."""

import asyncio
import json
import signal
import socket
import threading
from types import SimpleNamespace

import httpx
import pytest

from shared.errors import UserError
from shared.web import launch
from shared.web.launch import listening, running, serve


@pytest.fixture(scope="module")
def server():
    with running("tests.web.serve", "PROBE_", {}) as started:
        yield started


def test_it_answers_where_it_said_and_says_how_large_it_is(server):
    assert httpx.get(f"{server.url}/", headers={"Accept-Language": "en"}).text.count("Hello, you") == 1
    assert server.resident_mb() > 10 and server.cold_seconds > 0
    assert "server" not in httpx.get(f"{server.url}/").headers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_is_answered_after_the_signal(number):
    with running("tests.web.serve", "PROBE_", {}) as server:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{server.url}/slow", timeout=20).text))
        asking.start()
        assert server.process.stdout.readline() == "slowly\n"  # the route has begun
        server.process.send_signal(number)
        asking.join()
        code = server.process.wait(20)
    assert (answers, code) == (['"done"'], 130 if number == signal.SIGINT else 0)


def test_an_address_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match=rf"did not start: cannot listen on 127\.0\.0\.1:{port}"),
            running("tests.web.serve", "PROBE_", {"port": port}),
        ):
            pass


def test_a_wrong_setting_is_one_line():
    with (
        pytest.raises(UserError, match="did not start: PROBE_PORT=many: must be a whole number"),
        running("tests.web.serve", "PROBE_", {"port": "many"}),
    ):
        pass


def test_a_thousand_lines_of_log_do_not_stop_it(server):
    with httpx.Client(base_url=server.url) as client:
        ids = {client.get("/health").headers["X-Request-ID"] for _ in range(1000)}
    assert len(ids) == 1000


def test_nobody_is_believed_who_says_for_whom_he_asks(server):
    for headers in ({}, {"X-Forwarded-For": "10.1.1.1"}):
        httpx.get(f"{server.url}/for-whom", headers=headers)
    asked = [json.loads(line) for line in server.said().splitlines() if line.startswith("{")]
    assert len({each["client"] for each in asked if each.get("event") == "request"}) == 1


def test_an_answer_is_sent_at_once():
    """Nagle's algorithm would hold the second packet of each answer back until the first is acknowledged, 40 ms."""
    found = []

    async def accepted(_, writer):
        found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def main():
        opened = listening("127.0.0.1", 0)
        async with await asyncio.start_server(accepted, sock=opened):
            reader, writer = await asyncio.open_connection(*opened.getsockname()[:2])
            await reader.read()
            writer.close()

    asyncio.run(main())
    (off,) = found
    assert off


def test_a_service_with_sockets_can_say_how_large_a_frame_is(monkeypatch):
    made = []
    monkeypatch.setattr(
        launch, "_Server", lambda config, said: made.append(config) or SimpleNamespace(run=lambda **_: None)
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        serve(lambda: None, host="127.0.0.1", port=0, said="", ws_max_size=4096)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, launch.STOPPING)
    assert made[0].ws_max_size == 4096 and made[0].server_header is False


def test_an_application_that_does_not_begin_is_not_said_to_serve(capfd):
    async def failing(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit):
            serve(lambda: failing, host="127.0.0.1", port=0, said="serves")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    out, err = capfd.readouterr()
    assert out == "" and "no database" in err
