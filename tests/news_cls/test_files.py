"""Files of articles over HTTP: in, answered row by row, out; what cannot be read or stored; what a kill leaves."""

import asyncio
import csv
import errno
import io
import threading
import time

import pytest

from projects.news_cls.server import files
from projects.news_cls.server.queue_of_texts import UPDATES, TextQueue
from tests.news_cls.conftest import client_of, news_rows


def finished(client, name, seconds=20):
    return until(client, name, lambda state: state["finished"], seconds)


def until(client, name, reached, seconds=20):
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        state = client.get(f"/files/{name}").json()
        if reached(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"it never came to that: {state}")


def test_a_file_is_classified_and_its_rows_come_back_in_order(client):
    rows = news_rows(70)
    content = "\ufeffid,text\n" + "".join(f"{number},{text}\n" for number, (text, _) in enumerate(rows))
    sent = client.post("/files", content=content.encode(), headers={"Content-Type": "text/csv"})
    assert sent.status_code == 202 and sent.json()["rows"] == 70
    state = finished(client, sent.json()["id"])
    assert state["done"] == 70 and state["version"] == 1
    out = list(csv.DictReader(io.StringIO(client.get(f"/files/{state['id']}/result").text)))
    assert [row["id"] for row in out] == [str(number) for number in range(70)]
    single = client.post("/classify", json={"text": rows[5][0]}).json()["topic"]
    assert out[5]["topic"] == single and set(out[0]) == {"id", "text", "topic", "probability", "unsure"}


def test_formulas_in_a_file_come_back_as_text(client):
    sent = client.post("/files?column=t", content=b't\n"=HYPERLINK(""http://x"")"\n@SUM(1)\n').json()
    state = finished(client, sent["id"])
    out = list(csv.DictReader(io.StringIO(client.get(f"/files/{state['id']}/result").text)))
    assert [row["t"][0] for row in out] == ["'", "'"]


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (b"", "text", "no rows"),
        (b"text\n", "text", "no rows"),
        (b"a,b\n1,2\n", "text", "there is no column 'text'; the columns are a, b"),
        (b"a," * 99 + b"b\n", "text", "a, a, …"),
        (b"text\ncaf\xe9\n", "text", "line 2: not UTF-8"),
        (b"text,x\na\n", "text", "line 2: 1 fields"),
        (b'text\n"never closed\n', "text", "not a CSV file"),
        (b"text\n \n", "text", "line 2: 'text' is empty"),
        (b"text,text\na,b\n", "text", "two columns"),
        (b"text\na\0b\n", "text", "zero bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(client, content, column, said):
    answer = client.post(f"/files?column={column}", content=content)
    assert answer.status_code == 422 and said in answer.json()["detail"]


@pytest.mark.parametrize("name", ["write_text", "write_json"])
def test_a_full_disk_refuses_a_file_in_one_line(client, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, name, full)
    answer = client.post("/files", content=b"text\nbank shares\n")
    assert answer.status_code == 422 and "cannot be stored: No space left" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(errno.ENOSPC, "No space left on device"), "No space left"), (RuntimeError("bank"), "its log says why")],
)
def test_a_file_that_stops_says_so_and_goes_on_at_the_next_start(make_app, monkeypatch, error, said):
    with client_of(make_app()) as client:
        with monkeypatch.context() as broken:
            broken.setattr(files.csv, "writer", lambda *_, **__: raised(error))
            sent = client.post("/files", content=b"text\nbank shares\n").json()
            state = until(client, sent["id"], lambda state: state["problem"])
        assert said in state["problem"] and not state["finished"] and state["rows"] == 1
    with client_of(make_app()) as client:
        assert finished(client, sent["id"])["problem"] == ""


def raised(error):
    raise error


def test_a_stored_file_that_was_damaged_stops_neither_the_server_nor_the_others(make_app, tmp_path):
    folder = tmp_path / "service" / "files"
    folder.mkdir(parents=True)
    stored = {"a": ("text\nbank\n", '{"column": "text"}'), "b": ("text\nbank\n", "{"), "c": ("text\nbank\n", "{}"),
              "d": ("text\nbank\n", "[]"), "e": ("other\nbank\n", '{"column": "text"}')}  # fmt: skip
    for name, (rows, told) in stored.items():
        (folder / f"{name * 16}.csv").write_text(rows)
        (folder / f"{name * 16}.json").write_text(told)
    with client_of(make_app()) as client:
        assert finished(client, "a" * 16)["done"] == 1
        for name in "bcde":
            assert "cannot be read" in client.get(f"/files/{name * 16}").json()["problem"]


def test_files_that_somebody_removed_make_room(make_app, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_FILES", 1)
    with client_of(make_app()) as client:
        first = finished(client, client.post("/files", content=b"text\nbank\n").json()["id"])
        refused = client.post("/files", content=b"text\nbank\n")
        assert refused.status_code == 422 and "remove some of files/" in refused.json()["detail"]
        for path in (tmp_path / "service" / "files").glob(f"{first['id']}*"):
            path.unlink()
        assert client.post("/files", content=b"text\nbank\n").status_code == 202
        assert client.get(f"/files/{first['id']}").status_code == 404


def test_rows_of_a_finished_file_are_not_kept_in_memory(make_app):
    app = make_app()
    with client_of(app) as client:
        state = finished(client, client.post("/files", content=b"text\nbank\ngoal\n").json()["id"])
        assert state["rows"] == 2
        until(client, state["id"], lambda _: app.state.service.files.get(state["id"]).rows == [])


def test_files_leave_room_for_people_and_need_not_fit_into_what_may_wait():
    """Work that nobody waits for has half of what may wait, however much there is of it."""
    begun, go = threading.Event(), threading.Event()

    def work(batch):
        begun.set()
        assert go.wait(10)
        return batch

    async def tried():
        queue = TextQueue(work, at_once=1, waiting=8)
        queue.start()
        jobs = [asyncio.create_task(queue.when_free([f"{job}.{n}" for n in range(5)])) for job in range(8)]
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.sleep(0.2)
        assert queue.depth <= 4
        update = asyncio.create_task(queue.when_free(["update"] * 3, UPDATES))
        await asyncio.sleep(0.2)
        assert 4 < queue.depth <= 6, "an update waits for no file to end"
        person = asyncio.create_task(queue.submit(["person"] * 2))
        await asyncio.sleep(0)
        go.set()
        assert await person == ["person"] * 2 and await update == ["update"] * 3
        assert [await job for job in jobs] == [[f"{job}.{n}" for n in range(5)] for job in range(8)]
        await queue.stop()

    asyncio.run(tried())


def test_a_file_that_was_accepted_survives_a_kill(make_app, tmp_path):
    """What a process leaves that is killed between accepting and finishing: the upload, and no answer."""
    folder = tmp_path / "service" / "files"
    folder.mkdir(parents=True)
    (folder / f"{'a' * 16}.csv").write_text("text\nbank shares\ngoal match\n")
    (folder / f"{'a' * 16}.json").write_text('{"column": "text"}')
    with client_of(make_app()) as client:
        assert finished(client, "a" * 16)["done"] == 2
    with client_of(make_app()) as client:
        assert client.get(f"/files/{'a' * 16}").json()["finished"]
