"""The batch job over files, in one process: what is missing after a kill, and what cannot work.

No test starts Ray yet: with two workers the job did not end within a minute.
"""

import csv

import pytest

from projects.news_cls import batch
from projects.news_cls.batch import BatchConfig, classify_file, missing
from shared.errors import UserError
from tests.news_cls.conftest import news_rows, write_news


@pytest.fixture
def files(tmp_path):
    return tuple(write_news(tmp_path / f"part{n}.csv", news_rows(20, start=100 * n), ("text", "id")) for n in range(4))


def config_of(trained, files, out, **told):
    return BatchConfig(files=files, out=out, run=trained.directory, **told)


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
    with pytest.raises(UserError, match="no such file"):
        classify_file(trained.directory, tmp_path / "none.csv", tmp_path / "x.csv", "text")
    with pytest.raises(UserError, match="no column 'body'"):
        classify_file(trained.directory, files[0], tmp_path / "x.csv", "body")
