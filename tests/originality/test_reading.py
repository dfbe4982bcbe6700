"""What is read, what is said about it, and that none of it runs."""

import json
import os

import pytest

from shared.errors import UserError
from shared.originality import profiles, reading, report, wording
from shared.originality.compare import compare
from shared.originality.text import Note

pytestmark = pytest.mark.filterwarnings("error")


def notebook(*cells: tuple[str, str]) -> str:
    made = [{"cell_type": kind, "source": text.splitlines(keepends=True), "metadata": {}} for kind, text in cells]
    return json.dumps({"cells": made, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def kinds(source: reading.Source) -> list[str]:
    return [note.kind for note in source.notes]


def test_folder_is_read_in_order_of_names_hidden_places_included_and_links_are_said(tmp_path):
    hidden = ("dist/c.py", ".hidden/d.py", "lib/site-packages/x/f.py", "node_modules/g.py")
    for name in ("b.py", "a/z.py", "a/y.ipynb", "notes.txt", ".e.py", *hidden):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(notebook(("code", "x = 1")) if name.endswith("ipynb") else "x = 1\n")
    (tmp_path / "link.py").symlink_to(tmp_path / "b.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = reading.read(tmp_path)
    assert [source.name for source in found] == sorted([".e.py", "a/y.ipynb", "a/z.py", "b.py", *hidden])
    assert found[0].notes == (Note("links", detail="2"),)


def test_an_environment_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_IN_OTHERS", 3)
    for name in ("b.py", *(f".venv/lib/site-packages/{n}.py" for n in range(4)), *(f"dist/{n}.py" for n in range(3))):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x = 1\n")
    found = reading.read(tmp_path)
    assert [source.name for source in found] == ["b.py", "dist/0.py", "dist/1.py", "dist/2.py"]
    assert found[0].notes == (Note("left out", detail=".venv (4)"),)
    shown = report.omissions(compare(found, reading.read(tmp_path / "dist", "eva")))
    assert any(".venv (4) files" in line for line in shown)


def test_notebook_is_its_code_cells_without_magics(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text(notebook(("markdown", "# Title"), ("code", "%pip list\n!ls\nx = 1"), ("code", "%%bash\nrm -r /")))
    source = reading.read(path)[0]
    assert source.tree is not None
    assert [line for line in source.text.splitlines() if not line.startswith("#")] == ["x = 1"]
    assert "Title" not in source.text


CELLS = {
    "%%time\nx = f(1)": "x = f(1)",
    "%%capture out\nx = f(1)": "x = f(1)",
    "files = !ls\nx = f(1)": "x = f(1)",
    "t = %timeit -o f()\nx = f(1)": "x = f(1)",
    "len?\nx = f(1)": "x = f(1)",
    "?len\nx = f(1)": "x = f(1)",
    "f(a).b??\nx = f(1)": "x = f(1)",
    "for i in y:\n    !echo $i\n    x = f(i)": "for i in y:\n    x = f(i)",
    "this is no Python\nx = f(1)": "x = f(1)",
    "x = f(1) % 2\ny = x if x else 'why?'": "x = f(1) % 2\ny = x if x else 'why?'",
    "%%bash\nls | wc -l\nfor f in *; do echo $f; done": "",
}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.split("\n")[0])
def test_what_only_a_notebook_understands_costs_its_own_line(tmp_path, cell):
    (tmp_path / "n.ipynb").write_text(notebook(("code", "before = g(1)"), ("code", cell), ("code", "after = g(2)")))
    (source,) = reading.read(tmp_path)
    assert source.tree is not None
    kept = [line for line in source.text.splitlines() if not line.lstrip().startswith("#") and line]
    assert "\n".join(kept) == "\n".join(filter(None, ["before = g(1)", CELLS[cell], "after = g(2)"]))


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "[" * 100_000])
def test_broken_notebook_is_said_and_compared_as_text(tmp_path, text):
    path = tmp_path / "n.ipynb"
    path.write_text(text)
    assert "notebook" in kinds(reading.read(path)[0])


@pytest.mark.parametrize("text", ["def f(:\n", "print 'two'\n", "x = \x00\n", "(" * 300, "x = " + "-" * 200_000 + "1"])
def test_what_does_not_parse_is_compared_by_tokens_and_said(text):
    made = profiles.profile(reading.from_text("a = [1, 2, 3] + b.c(d, e)[4:5] * (f - g)\n" * 3 + text, "ana", "x.py"))
    assert made.notes[0].kind in ("unparsed", "too deep")
    assert not made.units and made.grams
    assert "tokens only" in wording.sentence(made.notes[0])


def test_deep_tree_that_parses_is_said_as_well():
    """The parser's own limit depends on its version; whichever gives up first, the tokens are compared."""
    for size in (300, 900, 5000, 50_000):
        made = profiles.profile(reading.from_text("x = " + " + ".join(["a"] * size) + "\n", "ana", "x.py"))
        assert [note.kind for note in made.notes] in ([], ["too deep"], ["unparsed"])
        assert bool(made.units) == (made.notes == []) and made.grams


def test_any_bytes_are_read(tmp_path):
    path = tmp_path / "x.py"
    path.write_bytes(b"# -*- coding: nonsense -*-\nx = '\xff\xfe'\n")
    assert kinds(reading.read(path)[0])[0] == "encoding"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        path.write_bytes("ñandú = area(3, 4)\n".encode(encoding))
        assert reading.read(path)[0].text == "ñandú = area(3, 4)\n", encoding
    path.write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r")
    assert reading.read(path)[0].text == "x = 1\ny = 2\n"


def test_long_file_is_cut_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_CHARACTERS", 10)
    (tmp_path / "x.py").write_text("x = 1\n" * 5)
    source = reading.read(tmp_path)[0]
    assert len(source.text) == 10 and kinds(source)[:2] == ["shortened", "cut"]
    monkeypatch.setattr(reading, "MAX_BYTES", 3)
    assert kinds(reading.read(tmp_path)[0])[0] == "cut"


def test_code_behind_megabytes_of_comments_is_read(tmp_path):
    (tmp_path / "x.py").write_text("# nothing to see here, really\n" * 250_000 + HIDDEN)
    source = reading.read(tmp_path)[0]
    assert source.text == HIDDEN and kinds(source) == ["shortened"]


def test_user_errors_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path / "empty", tmp_path / "x.txt"):
        with pytest.raises(UserError) as caught:
            reading.read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_a_user_error(tmp_path):
    (tmp_path / "x.py").write_text("x = 1")
    (tmp_path / "x.py").chmod(0)
    with pytest.raises(UserError, match="cannot read"):
        reading.read(tmp_path / "x.py")


def test_owners_of_the_same_name_stay_two(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "work").mkdir(parents=True)
        (tmp_path / folder / "work" / "x.py").write_text("x = 1\n")
    owners = {source.owner for source in reading.read_all([tmp_path / "one" / "work", tmp_path / "two" / "work"])}
    assert len(owners) == 2
    with pytest.raises(UserError, match="once"):
        reading.read_all([tmp_path / "one", tmp_path / "one" / "work"])
    with pytest.raises(UserError, match="at least two"):
        reading.read_class(tmp_path / "one")


def test_nothing_that_is_read_runs(tmp_path):
    mark = tmp_path / "ran"
    body = f"open({str(mark)!r}, 'w').close()\n"
    text = (
        body + f"exec({body!r})\nimport base64\n@(lambda f: {body.strip()})\nclass A(metaclass={body.strip()}): pass\n"
    )
    (tmp_path / "x.py").write_text(text)
    made = profiles.profile(reading.read(tmp_path)[0])
    assert made.units and not mark.exists()


HIDDEN = "def area(width, height):\n    total = width * height + min(width, height) ** 2\n    return total / 7\n"
ENCODED = "ZGVmIGFyZWEod2lkdGgsIGhlaWdodCk6CiAgICB0b3RhbCA9IHdpZHRoICogaGVpZ2h0CiAgICByZXR1cm4gdG90YWwK"


@pytest.mark.parametrize(
    "call",
    [
        f"exec({HIDDEN!r})",
        f"CODE = {HIDDEN!r}\nexec(CODE)",
        f"import builtins\nbuiltins.exec({HIDDEN!r})",
        f"getattr(__builtins__, 'ex' + 'ec')({HIDDEN!r})",
        f"__import__('builtins').eval(compile({HIDDEN!r}, 'x', 'exec'))",
        "ｅｘｅｃ(" + repr(HIDDEN) + ")",
        f"run = exec\nrun({HIDDEN[:30]!r} + {HIDDEN[30:]!r})",
        f"exec(''.join([{HIDDEN[:30]!r}, {HIDDEN[30:]!r}]))",
        f"exec({f'exec({HIDDEN!r})'!r})",
        f"import base64\nexec(base64.b64decode('{ENCODED}'))",
    ],
)
def test_code_in_strings_that_run_is_flagged_and_compared(call, fragments):
    made = profiles.profile(reading.from_text(call + "\n", "ana", "x.py"))
    said = [note.kind for note in made.notes]
    assert "runs text" in said and "hidden code" in said
    found = {fragment for unit in made.units for fragment in unit.fragments}
    wanted = fragments(HIDDEN) if ENCODED not in call else fragments("def f(a, b):\n    return a * b\n")
    assert wanted & found


def test_innocent_strings_and_names_are_not_flagged():
    text = (
        f"import re\nPATTERN = re.compile('a = (b)')\nTEXT = {HIDDEN!r}\nmodel.eval()\ncursor.exec('select (a) = 1')\n"
    )
    assert profiles.profile(reading.from_text(text, "ana", "x.py")).notes == []


def test_a_file_too_long_to_be_parsed_is_compared_by_tokens_and_said(monkeypatch):
    monkeypatch.setattr(reading, "MAX_PARSED", 100)
    made = profiles.profile(reading.from_text(HIDDEN * 3, "ana", "x.py"))
    assert kinds(made) == ["unparsed"] and not made.units and made.grams
