"""Measurements are runs: their tables cite the lines of a log, which the repository keeps."""

from dataclasses import dataclass

import pytest

from shared.errors import UserError
from shared.fingerprint import Verdict, team_key
from shared.fingerprint.citations import Library
from shared.fingerprint.results import cited_cells
from shared.fingerprint.verify import verify
from shared.measured import write_measured
from shared.report import read_csv

ROWS = [{"server": "ours", "step": 3, "ms": 0.25, "kept": True}, {"server": "theirs", "step": 4, "ms": 1.5, "kept": ""}]


@dataclass(frozen=True)
class Asked:
    sockets: int = 1000


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "projects" / "toy" / "results"
    folder.mkdir(parents=True)
    write_measured(folder / "idle.csv", ROWS, "toy", Asked())
    return folder


def test_each_number_cites_its_line_and_the_log_is_kept(results, tmp_path):
    assert read_csv(results / "idle.csv")[1]["ms"] == 1.5
    assert not (tmp_path / "runs").exists(), "the log is all that has to stay"
    (finding,) = verify(results, recompute=True)
    assert finding.verdict is not Verdict.SEALED_ONLY and "4 of 8 cells recomputed from 1 logs" in finding.detail
    cells = cited_cells(results, team_key(), Library(team_key(), []))["idle.csv"]
    assert [set(row) for row in cells] == [{"step", "ms"}] * 2


def test_a_number_that_is_edited_is_named(results):
    table = results / "idle.csv"
    table.write_text(table.read_text().replace("0.25", "0.15"))
    assert any("row 1, column ms" in each.detail for each in verify(results, recompute=True))


def test_a_second_measurement_is_another_run(results):
    (first,) = (path.name for path in (results / "logs").iterdir())
    write_measured(results / "idle.csv", ROWS, "toy", Asked())
    (second,) = (path.name for path in (results / "logs").iterdir())
    assert first != second, "and the first one's log, which nothing cites any more, is gone"


def test_a_value_that_is_no_number_is_refused_before_the_table_is_written(results):
    before = (results / "idle.csv").read_bytes()
    with pytest.raises((UserError, ValueError)):
        write_measured(results / "idle.csv", [{"ms": float("nan")}], "toy", Asked())
    assert (results / "idle.csv").read_bytes() == before
