"""Tables: what is written is what is read, and a README keeps the rest of its text."""

import statistics

import pytest

from shared.errors import UserError
from shared.report import (
    between_marks,
    blocks,
    crossed,
    markdown_table,
    mean_sd,
    put_into_readme,
    put_tables,
    read_csv,
    spread,
    stale_tables,
    write_csv,
)


def test_csv_gives_back_numbers_as_numbers(tmp_path):
    rows = [{"name": "a, b", "count": 3, "share": 0.1}, {"name": "ñ", "count": -1, "share": 1e-9}]
    write_csv(tmp_path / "rows.csv", rows)
    assert read_csv(tmp_path / "rows.csv") == rows


def test_a_row_of_other_keys_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="count"):
        write_csv(tmp_path / "rows.csv", [{"name": "a"}, {"name": "b", "count": 1}])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(UserError, match="make results-"):
        read_csv(tmp_path / "rows.csv")


def test_mean_and_deviation_are_those_of_the_sample():
    rows = [{"f1": value} for value in (0.2, 0.5, 0.9)]
    assert mean_sd(rows, "f1") == {"f1": pytest.approx(1.6 / 3), "f1_sd": statistics.stdev((0.2, 0.5, 0.9))}
    assert mean_sd(rows[:1], "f1") == {"f1": 0.2, "f1_sd": 0.0}
    assert spread({"f1": 0.12345, "f1_sd": 0.6}, "f1", 2) == "0.12 ± 0.60"
    assert spread({"f1": 0.12345, "f1_sd": 0.0, "seeds": 1}, "f1", 2) == "0.12 (1 seed)"


def test_only_what_is_between_the_marks_changes(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before <!-- begin x -->\nold\n<!-- end x --> after")
    put_into_readme(readme, "x", markdown_table(["a", "b"], [["1", "2"]]))
    assert readme.read_text() == "before <!-- begin x -->\n| a | b |\n|---|---|\n| 1 | 2 |\n<!-- end x --> after"
    assert between_marks(readme, "x") == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_missing_marks_are_an_error_and_leave_the_file(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- begin x -->")
    with pytest.raises(UserError, match="lacks the marks"):
        put_into_readme(readme, "x", "table")
    assert readme.read_text() == "<!-- begin x -->"


class Shout:
    """A table whose view is its rows, said aloud."""

    def markdown(self, rows, language="en"):
        return f"{language}: {' '.join(row['x'] for row in rows)}"


def test_tables_are_put_into_every_readme_and_what_is_stale_is_seen(tmp_path):
    out = tmp_path / "results"
    out.mkdir()
    for readme, block in (("README.md", "a"), ("README.es.md", "a"), ("results/README.md", "b")):
        (tmp_path / readme).write_text(f"before\n<!-- begin {block} -->\n<!-- end {block} -->\nafter\n")
    views = {"a": (Shout(), [{"x": "1"}]), "b": (Shout(), [{"x": "2"}])}
    assert put_tables(out, views) == ["README.md", "README.es.md", "results/README.md"]
    assert between_marks(tmp_path / "README.es.md", "a") == "es: 1" and stale_tables(out, views) == []
    assert put_tables(out, views) == []
    views["a"] = (Shout(), [{"x": "3"}])
    views["c"] = (Shout(), [])
    del views["b"]
    stale = [f"{tmp_path / name}: {block}" for name, block in (("README.md", "a"), ("README.es.md", "a"))]
    assert stale_tables(out, views) == [*stale, f"{out / 'README.md'}: b", "c: in no README"]


def test_a_bar_in_a_cell_does_not_end_it():
    assert markdown_table(["a"], [["x | y"]]).splitlines()[2] == "| x \\| y |"


def test_rows_are_crossed_in_the_order_of_their_first_ones():
    rows = [{"who": "b", "what": "x", "n": 1}, {"who": "a", "what": "x", "n": 2}, {"who": "b", "what": "y", "n": 3}]
    found = crossed(rows, "who", "what", "n")
    assert found == [{"who": "b", "x": 1, "y": 3}, {"who": "a", "x": 2}]
    assert crossed(rows[:1], "who", "what") == [{"who": "b", "x": rows[0]}]


def test_a_block_is_made_of_the_files_that_its_mark_names():
    whole = "<!-- begin a -->\n| 0.5 |\n<!-- end a -->\n\n<!-- begin b of c.csv d.csv -->\n<!-- end b -->\n"
    text = f"{whole}<!-- begin e -->\n"
    found = blocks(text)
    assert set(found) == {"a", "b"}, "one that does not end is none"
    assert (found["a"].named, found["a"].sources, list(found["a"].lines)) == ((), ("a.csv",), [2])
    assert found["b"].named == found["b"].sources == ("c.csv", "d.csv") and not found["b"].lines
    assert text[found["a"].start : found["a"].end] == "| 0.5 |\n"


def test_a_block_of_a_file_that_is_not_there_is_stale(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "README.md").write_text("<!-- begin a of gone.csv -->\nEN: 1\n<!-- end a -->\n")
    assert [each.rpartition(": ")[2] for each in stale_tables(tmp_path / "results", {})] == ["no gone.csv", "a"]
