"""Notebooks: executed afresh and compared, and nothing of a machine or an hour in them."""

import json
import math
import subprocess
import sys

import pytest

from shared import study
from shared.course import notebook
from shared.course.cells import NUMBER, Number, Picture, Table, declared
from shared.course.project import ROOT, find, names
from shared.errors import UserError


def in_a_process(toy, code):
    """Jupyter's own deprecation warnings are no errors of ours: it runs in a process of its own."""
    head = "from pathlib import Path; from shared.course import notebook, project"
    code = f"{head}; p = project.Project('toy', Path({str(toy.root)!r})); {code}"
    guarded = f"from shared.errors import reported\nwith reported():\n    {code}"
    return subprocess.run([sys.executable, "-c", guarded], capture_output=True, text=True, cwd=ROOT)


def test_a_notebook_is_built_the_same_twice_and_holds_its_numbers(toy):
    twice = "notebook.build(p); a = notebook.committed(p).read_bytes(); notebook.build(p)"
    done = in_a_process(toy, f"{twice}; assert a == notebook.committed(p).read_bytes()")
    assert done.returncode == 0, done.stderr
    text = notebook.committed(toy).read_text()
    book = json.loads(text)
    assert notebook.numbers(book) == {"ours, r = 2": 0.93456, "baseline": 0.8512}
    assert str(toy.root) not in text and notebook.outdated(toy) == []
    assert "<table>" in text and [cell["id"] for cell in book["cells"]] == ["cell-01", "cell-02", "cell-03"]

    (toy.results / "summary.csv").write_text((toy.results / "summary.csv").read_text().replace("0.8512", "0.8513"))
    assert notebook.outdated(toy) == ["results/summary.csv"]
    done = in_a_process(toy, "notebook.check(p)")
    assert done.returncode == 2 and "baseline: 0.8512 in the notebook, 0.8513 afresh" in done.stderr
    (toy.results / "new.csv").write_text("a\n1\n")
    assert "results/new.csv" in notebook.outdated(toy)


def test_what_is_built_by_hand_comes_before_what_was_recorded(toy):
    by_hand = "# %% [markdown]\n# # A mano\n\n# %%\nfrom shared.course.cells import live\n\nlive(lambda n: n + 1, 41)\n"
    (toy.folder / "by_hand.py").write_text(by_hand)
    done = in_a_process(toy, "notebook.build(p)")
    assert done.returncode == 0, done.stderr
    cells = json.loads(notebook.committed(toy).read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    assert sources[0] == "# A mano" and "Un juguete" in sources[2] and len(cells) == 5
    shown = ["".join(output["data"]["text/plain"]) for output in cells[1]["outputs"]]
    assert shown == ["42"], "the work was done, and shown"
    assert notebook.outdated(toy) == []
    (toy.folder / "by_hand.py").write_text(by_hand.replace("41", "42"))
    assert notebook.outdated(toy) == ["by_hand.py"]


def test_ctrl_c_while_the_kernel_starts_is_one_line(toy):
    """nbclient answers it by cancelling its own task, which would be a traceback."""
    cancelled = "notebook.NotebookClient.execute = lambda *_, **__: (_ for _ in ()).throw(asyncio.CancelledError)"
    done = in_a_process(toy, f"import asyncio; {cancelled}; notebook.build(p)")
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1 / 0", "a cell ended in ZeroDivisionError: division by zero"),
        ("print(Path.cwd())", "the output of cell 4 shows a path of this machine"),
        ("print('2026-01-02 03:04:05')", "the output of cell 4 shows a time"),
        ("import warnings; warnings.warn('old')", "cell 4 warns"),
    ],
)
def test_a_notebook_that_fails_or_tells_too_much_is_not_written(toy, cell, said):
    source = toy.folder / "notebook.py"
    source.write_text(f"{source.read_text()}\n# %%\n{cell}\n")
    done = in_a_process(toy, "notebook.build(p)")
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not notebook.committed(toy).exists()


def test_no_source_and_no_notebook(toy):
    (toy.folder / "notebook.py").unlink()
    with pytest.raises(UserError, match="the project has no notebook yet"):
        notebook.execute(toy)
    with pytest.raises(UserError, match="run make notebook-toy"):
        notebook.check(toy)
    assert notebook.outdated(toy) is None


def test_numbers_are_compared_with_a_tolerance():
    old = {"a": 1.0, "b": 0.0, "c": 2.0}
    assert notebook.differences(old, {"a": 1.0 + 1e-9, "b": 0.0, "c": 2.0}) == []
    said = notebook.differences(old, {"a": 1.0 + 1e-5, "b": 1e-5, "d": 2.0})
    assert [line.split(":")[0] for line in said] == ["c", "d", "a", "b"]
    assert notebook.differences({"a": math.nan}, {"a": math.nan}), "NaN never agrees"


def test_two_numbers_of_one_name_are_refused():
    cell = {"outputs": [{"data": {NUMBER: [{"name": "a", "value": 1}]}}]}
    with pytest.raises(UserError, match="'a'"):
        notebook.numbers({"cells": [cell, cell]})


def test_a_declared_table_is_shown_in_spanish_and_its_numbers_are_tagged():
    columns = (
        ("trained", "se entrena", "{name}"),
        ("to full", "a plenos", "{gap:+.2f} (1 seed)"),
        ("to full", "a plenos", "{count:,}"),
    )
    rows = [{"name": "`ours`", "gap": -0.5, "count": 1234567}, {"name": "– none", "gap": 2, "count": 3}]
    table = declared(study.table("gaps", *columns), rows, "caption")
    assert table.headings == ("se entrena", "a plenos", "a plenos") and table.caption == "caption"
    assert [[str(cell) for cell in row] for row in table.rows] == [
        ["ours", "-0.50 (1 semilla)", "1,234,567"],
        ["– none", "+2.00 (1 semilla)", "3"],
    ]
    assert [number.value for number in table.numbers] == [-0.5, 1234567, 2, 3]
    assert len({number.name for number in table.numbers}) == 4


def test_cells_are_escaped_and_tagged(tmp_path):
    table = Table(("<i>",), (("<script>alert(1)</script>",), (Number("n", 0.5, ".1%"),)))
    bundle = table._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"] and "&lt;script&gt;" in bundle["text/html"]
    assert bundle[NUMBER] == [{"name": "n", "value": 0.5}] and "50.0%" in bundle["text/html"]
    with pytest.raises(UserError, match=r"x\.png is not in"):
        Picture(tmp_path / "x.png", "")


@pytest.mark.parametrize("name", names())
def test_every_projects_notebook_is_thin_and_says_today_what_it_said(name):
    project = find(name)
    source = (project.folder / "notebook.py").read_text()
    assert ".train(" not in source and "import torch" not in source
    done = subprocess.run(
        [sys.executable, "-m", "shared.course", "notebook", name, "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert notebook.outdated(project) == []
