"""A measurement is used again if it is the very one; whatever else is in its place is left alone."""

from dataclasses import replace

import pytest
from projects.rag_agent.studies.cells import Cell, complete

CELL = Cell("answers", "one", {"k": 1})


def measured(calls, value=0.5):
    def measure():
        calls.append(value)
        yield {"f1": value}, {"film": "Ran"}
        yield {"f1": value / 2}, {"film": "Heat"}

    return measure


def test_the_very_cell_is_measured_once(tmp_path):
    calls = []
    first = complete(tmp_path, CELL, "data", measured(calls))
    again = complete(tmp_path, CELL, "data", measured(calls))
    assert calls == [0.5] and first.values("f1") == again.values("f1") == [0.5, 0.25]
    assert again.details == [{"film": "Ran"}, {"film": "Heat"}]


@pytest.mark.parametrize(
    ("cell", "data"),
    [(replace(CELL, settings={"k": 2}), "data"), (replace(CELL, meaning=1), "data"), (CELL, "other data")],
)
def test_other_settings_scores_or_data_are_measured_beside_and_said(cell, data, tmp_path, capsys):
    complete(tmp_path, cell, data, measured([]))
    calls = []
    assert complete(tmp_path, CELL, "data", measured(calls, 0.75)).values("f1") == [0.75, 0.375]
    assert calls == [0.75] and "not used for this cell" in capsys.readouterr().out
    assert complete(tmp_path, CELL, "data", measured(calls)).values("f1") == [0.75, 0.375] and calls == [0.75]


def test_one_that_was_stopped_is_measured_anew(tmp_path):
    def stopped():
        yield {"f1": 1.0}, {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path, CELL, "data", stopped)
    assert complete(tmp_path, CELL, "data", measured([])).values("f1") == [0.5, 0.25]


def test_what_a_person_keeps_there_is_left_alone(tmp_path):
    theirs = tmp_path / CELL.folder / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    assert complete(tmp_path, CELL, "data", measured([])).values("f1") == [0.5, 0.25]
    assert theirs.read_text() == "theirs"
