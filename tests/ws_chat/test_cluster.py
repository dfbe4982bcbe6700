"""Two servers, Redis and nginx with TLS, as `--replicas 2` starts them: pages are at either, one is killed."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from projects.ws_chat.protocol import SUBPROTOCOL
from projects.ws_chat.server import cluster as cluster_module
from projects.ws_chat.server.cluster import cluster
from projects.ws_chat.server.settings import PREFIX, Settings, as_variables
from shared.web.settings import from_environment
from tests.ws_chat.memory import Page, shown
from tests.ws_chat.people import PASSWORD
from tests.ws_chat.serving import heard, invitation_of, say

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None or shutil.which("nginx") is None, reason="Debian's redis-server and nginx"
)
WORDS = " ".join(f"w{number}" for number in range(80))


@pytest.fixture
def started(tmp_path, url):
    words = ["--replicas", "2", "--port", "0", "--backend", "script", "--pace", "0.02", "--lease", "1"]
    given = as_variables([*words, "--data", str(tmp_path), "--rate", "1000", "--database", url])
    with cluster(from_environment(Settings, PREFIX, given), given) as (address, servers):
        yield address, servers, invitation_of("".join(server.said() for server in servers))


def test_whoever_serves_replicas_is_told_the_invitation_and_the_address(monkeypatch, capsys):
    said = ["a log line\n", "invitation of the first administrator, shown once: /login#CODE\n{log}\n"]
    servers = [SimpleNamespace(said=lambda text=text: text) for text in said]
    monkeypatch.setattr(cluster_module, "cluster", lambda *_: nullcontext(("https://127.0.0.1:1", servers)))
    monkeypatch.setattr(cluster_module, "signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=15))
    monkeypatch.setattr(cluster_module, "attend", lambda _: None)
    cluster_module.serve_replicas(Settings(replicas=2), {})
    told = capsys.readouterr()
    assert told.err == "invitation of the first administrator, shown once: /login#CODE\n"
    assert told.out == "2 replicas on https://127.0.0.1:1\n"


@contextmanager
def begun(tmp_path):
    """`--replicas 2` as it is typed, once it serves; its children, and the folder for what it makes for a while."""
    words = ["--replicas", "2", "--port", "0", "--backend", "script", "--data", str(tmp_path / "data")]
    own = tmp_path / "own"
    own.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "projects.ws_chat.server", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(own)},
    ) as process:
        try:
            assert process.stdout.readline().startswith("2 replicas on https://127.0.0.1:")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
            assert len(children) == 4  # Redis, two servers and nginx
            yield process, [int(child) for child in children]
        finally:
            process.terminate()  # changes nothing where it has ended
    assert not any(Path(f"/proc/{child}").exists() for child in children) and list(own.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_ctrl_c_ends_everything_that_was_started(tmp_path, number, code):
    with begun(tmp_path) as (process, _):
        process.send_signal(number)
        _, err = process.communicate(timeout=40)
        assert process.returncode == code and err.endswith("interrupted\n") == (code == 130)


def test_without_one_replica_the_other_goes_on_and_without_redis_nothing_does(tmp_path):
    with begun(tmp_path) as (process, (redis, replica, _, _)):
        os.kill(replica, signal.SIGKILL)
        while process.stderr.readline() != "a replica has ended: 1 left\n":
            assert process.poll() is None
        os.kill(redis, signal.SIGKILL)
        _, err = process.communicate(timeout=40)
        assert process.returncode == 2 and err.splitlines()[-1].startswith("error: Redis or nginx has ended")


def unverified():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def joined(address, code):
    client = httpx.Client(base_url=address, headers={"Origin": address}, timeout=20, verify=unverified())
    answer = client.post("/api/register", json={"invitation": code, "name": "ana", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return client


def line(address, origin, client):
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
    more = {"ssl": unverified()} if address.startswith("https") else {}
    url = address.replace("http", "ws", 1) + "/ws"
    given = {"origin": origin, "subprotocols": [SUBPROTOCOL], "additional_headers": cookie}
    return connect(url, max_queue=None, compression=None, **given, **more)


def test_pages_at_both_replicas_see_the_same_and_outlive_a_kill(started):
    address, servers, code = started

    async def listen(socket, page):
        try:
            while True:
                shown(page, await socket.recv())
        except ConnectionClosed:
            return

    async def test(client, one):
        async with asyncio.TaskGroup() as group:
            sockets = {}
            for _ in range(8):  # through nginx, which sends each to the replica with fewest: some are at each
                socket = await connect_and_greet(address, address, client)
                page = Page()
                await say(socket, type="subscribe", conversation=one, after=0)
                group.create_task(listen(socket, page))
                sockets[socket] = page
            first = next(iter(sockets))
            await say(first, type="message", conversation=one, id="message-1", text=WORDS)
            await asyncio.gather(*(page.done.wait() for page in sockets.values()))
            assert len({(page.seq, tuple(page.messages.items())) for page in sockets.values()}) == 1
            await say(first, type="message", conversation=one, id="message-2", text=WORDS)
            while not all("message-2" in page.messages for page in sockets.values()):
                await asyncio.sleep(0.01)
            os.kill(servers[0].process.pid, signal.SIGKILL)
            left = [socket for socket in sockets if await alive(socket)]
            assert 0 < len(left) < 8
            again = await connect_and_greet(address, address, client)
            await say(again, type="subscribe", conversation=one, after=sockets[first].seq)
            frame = await heard(again)
            while frame["type"] != "snapshot" or frame["writing"]:
                if frame["type"] == "done":
                    break
                frame = await heard(again)
            for socket in (*sockets, again):
                await socket.close()
        stored = client.get(f"/api/conversations/{one}/export").json()["messages"]
        assert [each["id"] for each in stored][:1] == ["message-1"] and stored[1]["text"] == WORDS
        assert stored[2]["id"] == "message-2"

    async def alive(socket):
        try:
            await (await socket.ping())
        except ConnectionClosed:
            return False
        return True

    async def connect_and_greet(url, origin, client):
        socket = await line(url, origin, client)
        await say(socket, type="hello", version=1)
        assert (await heard(socket))["type"] == "welcome"
        return socket

    with closing(joined(address, code)) as client:
        assert list(client.cookies) == ["__Host-ws_chat"]
        one = client.post("/api/conversations").json()["id"]
        asyncio.run(asyncio.wait_for(test(client, one), 60))


@pytest.mark.browser
def test_a_page_goes_on_with_the_other_replica_when_one_is_killed(started, chromium):
    address, servers, code = started
    with chromium.new_context(
        ignore_https_errors=True, locale="en-GB", viewport={"width": 390, "height": 800}
    ) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"{address}/login#{code}")
        page.get_by_label("Name").fill("bob")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create the account").click()
        page.locator("#write").fill(WORDS)
        page.keyboard.press("Enter")
        page.locator(".writing .text").wait_for()
        os.kill(servers[0].process.pid, signal.SIGKILL)
        # The answer goes on if its home is the other replica; else the page says that none came, and asks again.
        again = page.get_by_role("button", name="Another answer")
        again.wait_for()
        if page.locator(".said.assistant").count() == 0:
            again.click()
        page.locator(".said.assistant:not(.writing) .text", has_text="w79").wait_for()
        assert page.locator(".said.assistant .text").all_inner_texts() == [WORDS]
        assert page.locator(".said.user .text").all_inner_texts() == [WORDS]
