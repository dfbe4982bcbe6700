"""The server as a process: killed, it loses nothing that it acknowledged; told to stop, it finishes what it began."""

import asyncio
import dataclasses
import json
import os
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from projects.ws_chat.backends.scripted import Scripted
from projects.ws_chat.moderation import read_rules
from projects.ws_chat.protocol import SUBPROTOCOL
from projects.ws_chat.server.__main__ import main
from projects.ws_chat.server.app import create_app
from projects.ws_chat.server.settings import PREFIX, Settings, as_variables
from shared.errors import UserError
from shared.web import launch
from shared.web.settings import from_environment
from tests.ws_chat.people import PASSWORD
from tests.ws_chat.serving import closed, heard, invitation_of, say

running = partial(launch.running, "projects.ws_chat.server", "WS_CHAT_")


def joined(server):
    """The first administrator, with the invitation that the server printed."""
    client = httpx.Client(base_url=server.url, headers={"Origin": server.url}, timeout=20)
    body = {"invitation": invitation_of(server.said()), "name": "ana", "password": PASSWORD}
    assert client.post("/api/register", json=body).json()["admin"] is True
    return client


def back(client, server):
    """The same browser at a server that was started again."""
    return httpx.Client(
        base_url=server.url,
        headers={"Origin": server.url, "Cookie": f"ws_chat={client.cookies['ws_chat']}"},
        timeout=20,
    )


def line(server, client):
    cookie = {"Cookie": f"ws_chat={client.cookies['ws_chat']}"}
    address = server.url.replace("http", "ws") + "/ws"
    return connect(address, origin=server.url, subprotocols=[SUBPROTOCOL], additional_headers=cookie)


def test_what_was_acknowledged_outlives_kill_9(tmp_path):
    acknowledged, shown = [], 0

    async def talk(server, client, one):
        nonlocal shown
        async with line(server, client) as socket:
            await say(socket, type="hello", version=1)
            await say(socket, type="subscribe", conversation=one, after=0)
            for number in range(6):
                text = f"{number} one two" if number < 5 else "word " * 1500  # the last takes longer than any test
                await say(socket, type="message", conversation=one, id=f"message-{number}", text=text)
                frame = await heard(socket)
                while number < 5 and frame["type"] != "done":
                    acknowledged.extend([frame["message"]["id"]] if frame["type"] == "message" else [])
                    shown, frame = frame.get("seq", shown), await heard(socket)
                acknowledged.extend([frame["answer"]] if frame["type"] == "done" else [])
            while frame["type"] != "token":  # in the middle of the sixth answer
                acknowledged.extend([frame["message"]["id"]] if frame["type"] == "message" else [])
                frame = await heard(socket)
            shown = frame["seq"]
            os.kill(server.process.pid, signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                while True:
                    shown = json.loads(await socket.recv()).get("seq", shown)

    async def after_it(server, client, one):
        async with line(server, client) as socket:
            await say(socket, type="hello", version=1)
            await say(socket, type="subscribe", conversation=one, after=shown)
            snapshot = await heard(socket, "snapshot")
            assert snapshot["seq"] > shown  # no number is ever given twice
            assert [each["id"] for each in snapshot["messages"]] == acknowledged

    options = {"backend": "script", "data": tmp_path, "pace": 0.01}
    with running(options) as server, closing(joined(server)) as client:
        one = client.post("/api/conversations").json()["id"]
        asyncio.run(talk(server, client, one))
        server.process.wait(20)
    assert len(acknowledged) == 11
    with running(options) as server, closing(back(client, server)) as again:
        assert "shown once" not in server.said()
        stored = again.get(f"/api/conversations/{one}/export").json()["messages"]
        assert [each["id"] for each in stored] == acknowledged
        asyncio.run(after_it(server, client, one))


def test_told_to_stop_it_sends_pages_away_and_finishes_the_answer(tmp_path):
    async def talk(server, client, one):
        async with line(server, client) as socket:
            await say(socket, type="hello", version=1)
            await say(socket, type="subscribe", conversation=one, after=0)
            await say(socket, type="message", conversation=one, id="message-1", text=" ".join("abcdefghijklmnop" * 5))
            await heard(socket, "token")
            server.process.send_signal(signal.SIGTERM)
            assert await closed(socket) == 1012

    options = {"backend": "script", "data": tmp_path, "pace": 0.02}
    with running(options) as server, closing(joined(server)) as client:
        one = client.post("/api/conversations").json()["id"]
        asyncio.run(talk(server, client, one))
        assert server.process.wait(20) == 0
    with running(options) as server, closing(back(client, server)) as again:
        asked, answer = again.get(f"/api/conversations/{one}/export").json()["messages"]
        assert answer["reason"] == "end" and answer["text"] == asked["text"]


def test_ctrl_c_during_an_answer_stores_what_there_is_of_it(tmp_path):
    async def talk(server, client, one):
        async with line(server, client) as socket:
            await say(socket, type="hello", version=1)
            await say(socket, type="subscribe", conversation=one, after=0)
            await say(socket, type="message", conversation=one, id="message-1", text="word " * 1500)
            await heard(socket, "token")
            server.process.send_signal(signal.SIGINT)
            assert await closed(socket) == 1012

    options = {"backend": "script", "data": tmp_path, "pace": 0.02, "drain": 0.1}
    with running(options) as server, closing(joined(server)) as client:
        one = client.post("/api/conversations").json()["id"]
        asyncio.run(talk(server, client, one))
        assert server.process.wait(20) == 130
        assert server.said().splitlines()[-1] == "interrupted" and "Traceback" not in server.said()
    with running(options) as server, closing(back(client, server)) as again:
        _, answer = again.get(f"/api/conversations/{one}/export").json()["messages"]
        assert answer["reason"] == "left" and answer["text"].startswith("word")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "gpt"], "WS_CHAT_BACKEND=gpt: must be engine, script or clock"),
        (["--origins=chat.example"], "must look like https://chat.example"),
        (["--database", "mysql://x/y"], "the database is sqlite"),
        (["--sockets", "0"], "WS_CHAT_SOCKETS=0: must be from 1"),
        (["--colour", "red"], "--colour is no setting; there are --host"),
        (["--port"], "--port needs a value"),
        (["--blocked", "/nowhere.txt"], "/nowhere.txt"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path, words, said):
    with pytest.raises(UserError, match=said):
        given = {"WS_CHAT_DATA": str(tmp_path), **as_variables(words)}
        create_app(Scripted(), from_environment(Settings, PREFIX, given))


def test_the_command_ends_in_one_line_too(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--ping", "soon"], {"WS_CHAT_PORT": "0"})
    assert ended.value.code == 2 and capsys.readouterr().err == "error: WS_CHAT_PING=soon: must be a number\n"


def other_version(path):
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        made.execute("INSERT INTO alembic_version VALUES ('9999_later')")


def of_somebody_else(path):
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE users (x)")


@pytest.mark.parametrize(
    ("make", "more", "said"),
    [
        (Path.mkdir, [], "cannot be used: unable to open database file"),
        (lambda path: path.write_bytes(b"this is no database " * 100), [], "cannot be used: file is not a database"),
        (other_version, [], "is of another version of this program"),
        (of_somebody_else, [], "cannot be used: table users already exists"),
        (lambda path: path.parent.joinpath("chat.sqlite.lock").mkdir(), [], "cannot be used: 21"),
        (lambda _: None, ["--redis", "redis://127.0.0.1:1"], "Redis cannot be used: ConnectionError"),
    ],
)
def test_what_cannot_be_used_is_one_line_before_a_model_is_loaded(tmp_path, monkeypatch, capsys, make, more, said):
    path = tmp_path / "chat.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    monkeypatch.setattr("projects.ws_chat.server.__main__.load_backend", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path), "--port", "0", *more], {})
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and said in err and err.count("\n") == 1 and out == ""
    assert before is None or path.read_bytes() == before


def test_help_names_every_setting_with_its_meaning(capsys):
    main(["--help"], {})
    shown = capsys.readouterr().out
    assert shown.count("\n  --") == len(dataclasses.fields(Settings)) and "--port 8000\n      TCP port; 0" in shown


def test_a_file_of_phrases_without_an_end_is_refused():
    with pytest.raises(UserError, match="/dev/zero: more than 1024 KiB"):
        read_rules(Path("/dev/zero"))
