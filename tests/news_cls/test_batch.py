"""The batch job over files: two workers, the same output as one process, and what is missing after a kill."""

import csv
import subprocess
import sys
import time

import psutil
import pytest
import ray

from projects.news_cls import batch
from projects.news_cls.batch import BatchConfig, classify_file, missing
from shared.errors import UserError
from tests.news_cls.conftest import news_rows, write_news


@pytest.fixture
def files(tmp_path):
    return tuple(write_news(tmp_path / f"part{n}.csv", news_rows(20, start=100 * n), ("text", "id")) for n in range(4))


def config_of(trained, files, out, **told):
    return BatchConfig(files=files, out=out, run=trained.directory, **told)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_workers_write_what_one_process_does_and_a_killed_one_costs_nothing(trained, files, tmp_path):
    for path in files:
        classify_file(trained.directory, path, tmp_path / "alone" / path.name, "text")
    words = ["--files", *map(str, files), "--out", str(tmp_path / "out"), "--run", str(trained.directory)]
    command = [sys.executable, "-m", "projects.news_cls.batch", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        killed = kill_a_worker(job.pid)
        said, errors = job.communicate(timeout=300)
    assert killed and job.returncode == 0, errors
    assert said.endswith("80 articles in 4 files; 0 files were done before\n")  # behind what Ray says of the killed one
    for path in files:
        assert (tmp_path / "out" / path.name).read_bytes() == (tmp_path / "alone" / path.name).read_bytes()


def kill_a_worker(driver, seconds=200):
    """Kill the first process that has begun with a file."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and psutil.pid_exists(driver):
        for each in psutil.process_iter(["cmdline"]):
            if any("ray::classify_file" in word for word in each.info["cmdline"] or ()):
                each.kill()
                return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("crash", ["WorkerCrashedError", "OutOfMemoryError"])
def test_a_file_whose_workers_die_again_and_again_ends_in_one_line(trained, files, tmp_path, monkeypatch, crash):
    told, ended = [], []

    def get(_):
        raise getattr(ray.exceptions, crash)("it died")

    monkeypatch.setattr(ray, "init", lambda **words: told.append(words))
    monkeypatch.setattr(ray, "remote", lambda **words: lambda work: type("Task", (), {"remote": staticmethod(len)}))
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    config = config_of(trained, files, tmp_path / "out")
    with pytest.raises(UserError, match="a file's worker died 3 times"):
        batch._over(config, [])
    assert ended and told[0]["address"] == "local" and told[0]["num_cpus"] == 2


def test_only_what_is_missing_is_done_again(trained, files, tmp_path, monkeypatch):
    config = config_of(trained, files, tmp_path / "out")
    for path in files[:3]:
        classify_file(trained.directory, path, tmp_path / "out" / path.name, "text")
    (tmp_path / "out" / ".part3.csv.x.tmp").write_text("half a")  # what a killed process leaves
    assert [path.name for path, _ in missing(config)] == ["part3.csv"]
    asked = []
    monkeypatch.setattr(batch, "_over", lambda _, left: asked.append(left) or [20])
    assert batch.main(config) == 20 and len(asked[0]) == 1
    with (tmp_path / "out" / "part0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and rows[0]["topic"] in ("money", "sport", "tech")


def test_what_cannot_work_is_one_line(trained, files, tmp_path):
    with pytest.raises(UserError, match="names no file"):
        BatchConfig()
    with pytest.raises(UserError, match="two files have one name"):
        BatchConfig(files=(files[0], tmp_path / "x" / files[0].name))
    with pytest.raises(UserError, match="two files have one name"):
        BatchConfig(files=(files[0], files[0].with_suffix(".txt")))
    with pytest.raises(UserError, match="holds the files themselves"):
        BatchConfig(files=files, out=files[0].parent)
    with pytest.raises(UserError, match="no such file"):
        classify_file(trained.directory, tmp_path / "none.csv", tmp_path / "x.csv", "text")
    with pytest.raises(UserError, match="no column 'body'"):
        classify_file(trained.directory, files[0], tmp_path / "x.csv", "body")
