"""The folder of the index: killed, spoilt, replaced while it is read; it is the old one, the new one, or refused."""

import json
import os
import subprocess
import sys
import threading

import pytest

from projects.rag_agent.models.rag_module import SIDECAR, RagRetriever, load_index
from projects.rag_agent.retriever import crash, versions
from projects.rag_agent.retriever.faiss_index import FILE, FaissIndex
from shared.errors import UserError


def test_killed_at_any_moment_of_a_save_the_index_loads():
    """Fifty kills, in a process of its own: it forks, and forks of a process with many threads are no test of ours."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "projects.rag_agent.retriever.crash",
            "--rounds",
            "50",
            "--passages",
            "100",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("50 kills: 50 times the index loaded")
    assert " 0 kills left" not in done.stdout  # or the kills never hit a save


def test_a_save_that_fails_at_any_step_leaves_the_old_version(tmp_path, monkeypatch):
    crash.save(tmp_path, 1, 20)
    real, calls = os.fsync, []
    for failing in range(12):
        calls.clear()

        def fsync(descriptor, limit=failing):
            calls.append(descriptor)
            if len(calls) > limit:
                raise OSError("disk full")
            return real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        try:
            crash.save(tmp_path, 2, 20)
        except UserError:
            monkeypatch.setattr(os, "fsync", real)
            assert crash.number_of(tmp_path) in (1, 2)
        else:
            break
    monkeypatch.setattr(os, "fsync", real)
    assert failing > 3 and crash.number_of(tmp_path) == 2
    crash.save(tmp_path, 3, 20)
    assert crash.number_of(tmp_path) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", versions.POINTER, versions.VERSIONS]
    assert len(list((tmp_path / versions.VERSIONS).iterdir())) == 1  # nothing half-written stays


def test_a_reader_during_saves_sees_whole_versions(tmp_path):
    crash.save(tmp_path, 0, 50)
    stop, wrong = threading.Event(), []

    def read():
        last = 0
        while not stop.is_set():
            try:
                found = crash.number_of(tmp_path)
            except Exception as error:  # of a thread nobody would see it: the main one fails with it
                wrong.append(error)
                return
            if found < last:
                wrong.append(f"{found} after {last}")
            last = found

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 25):
        crash.save(tmp_path, number, 50)
    stop.set()
    reader.join()
    assert wrong == []


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f, _: (f / FILE).write_bytes((f / FILE).read_bytes()[:-1]), "changed since it was saved"),
        (lambda f, _: (f / FILE).write_bytes(b"\0" + (f / FILE).read_bytes()[1:]), "changed since it was saved"),
        (lambda f, _: (f / SIDECAR).write_text("{}\n"), "changed since it was saved"),
        (lambda f, _: (f / SIDECAR).unlink(), "is missing"),
        (lambda f, _: edit(f / versions.MANIFEST, lambda m: m["about"].update(model="x")), "is not what was saved"),
        (lambda f, _: (f / versions.MANIFEST).unlink(), "is not what was saved"),
        (lambda _, r: (r / versions.POINTER).write_text("{"), "cannot be read as JSON"),
        (lambda _, r: (r / versions.POINTER).write_text("[]"), "holds no JSON object"),
        (lambda _, r: (r / versions.POINTER).unlink(), "no index was saved"),
        (lambda _, r: edit(r / versions.POINTER, lambda p: p.update(version="../../x")), "names no version"),
    ],
)
def test_whatever_changed_is_refused_in_one_line(spoil, said, tmp_path):
    crash.save(tmp_path, 1, 5)
    folder = versions.current(tmp_path, lambda folder, _: folder)
    spoil(folder, tmp_path)
    with pytest.raises(UserError, match=said) as caught:
        crash.number_of(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_index_of_another_model_dimension_or_kind_is_refused(tmp_path, retriever, embedder):
    retriever.save(tmp_path)
    assert len(RagRetriever.load(tmp_path, embedder())) == 4
    with pytest.raises(UserError, match="built with model = hashing, not other"):
        RagRetriever.load(tmp_path, embedder(model_id="other"))
    with pytest.raises(UserError, match="built with dimension = 64, not 32"):
        RagRetriever.load(tmp_path, embedder(32))
    with pytest.raises(UserError, match="built with hnsw = False, not True"):
        RagRetriever.load(tmp_path, embedder(), hnsw=True)


def test_vectors_and_passages_of_different_saves_are_refused(tmp_path, make_passage):
    index = FaissIndex(8)
    about = {"model": "m", "dimension": 8, "metric": "inner product", "normalised": True, "hnsw": False}
    with versions.publish(tmp_path, about) as folder:
        index.save(folder)
        (folder / SIDECAR).write_text(json.dumps(vars(make_passage("a", "b"))) + "\n")
    with pytest.raises(UserError, match="not the same ones"):
        load_index(tmp_path, model="m", dimension=8)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        crash.save(tmp_path / "file" / "index", 1, 1)


def test_what_a_person_keeps_in_the_folder_stays(tmp_path):
    """--out may name any folder, one with a folder of versions of its own included."""
    theirs = [tmp_path / "versions" / name for name in ("000001/thesis.txt", "2024/notes.md", "draft", ".000001.old")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("theirs")
    half = tmp_path / "versions" / ".000007.abcd_1234.tmp"
    half.mkdir()
    for number in range(3):
        crash.save(tmp_path, number, 5)
    assert crash.number_of(tmp_path) == 2
    assert [path.read_text() for path in theirs] == ["theirs"] * 4
    ours = {path.name for path in (tmp_path / "versions").iterdir()} - {
        path.relative_to(tmp_path / "versions").parts[0] for path in theirs
    }
    assert ours == {versions.current_name(tmp_path)}
