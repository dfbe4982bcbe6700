"""The report: self-contained, in two languages, and nothing of a submission gets out of its cell."""

import csv
import html.parser
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from shared.lab.originality.attacks import apply
from shared.originality import export, reading, report, wording
from shared.originality.__main__ import Compare, main
from shared.originality.compare import compare

ROOT = Path(__file__).resolve().parents[2]
EVIL = '<script>alert("1")</script>'
VOID = {"meta", "input", "br", "img", "link"}


class Parsed(html.parser.HTMLParser):
    """Tags, attributes and text of a page; complains about tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def found(program):
    """A disguised copy whose file name, code, comments and strings all try to break out."""
    evil = f'NOTE = """{EVIL} an evil message"""  # {EVIL} as a comment here\nBIDI = "\u202e\u2066 turned around"\n'
    hidden = f"exec('''total = sum([1, 2])  # {EVIL}\nprint(total)''')\n"
    copy = apply(("rename", "temporaries"), program, Random(0)) + "\n" + evil + hidden
    return compare(
        [
            reading.from_text(program + evil, "ana", "work.py"),
            reading.from_text(copy, f"eva {EVIL}", f'"><img src=x onerror=alert(1)>{EVIL}.py'),
            reading.from_text("def (", "=cmd()", "+broken.py"),
        ]
    )


def test_page_is_self_contained_and_everything_is_escaped(found):
    text = report.page(found, report.explained_pairs(found))
    parsed = Parsed(text)
    names = {tag for tag, _ in parsed.tags}
    assert not names & {"script", "img", "iframe", "object", "link", "form", "svg", "base"}
    for _, attributes in parsed.tags:
        assert not {"src", "onerror", "onclick", "style"} & attributes.keys() or attributes.get("style", "").startswith(
            "width:"
        )
        assert attributes.get("href", "#").startswith("#")
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert any(EVIL in piece for piece in parsed.text), "shown as text"
    assert "\u202e" not in text and "\\u202e" in text
    style = next(piece for piece in parsed.text if ":root" in piece)
    assert "url(" not in style and "@import" not in style


def test_every_phrase_is_in_both_languages(found):
    text = report.page(found, report.explained_pairs(found))
    assert text.count('class="es"') == text.count('class="en"') > 30
    for key, words in wording._PHRASES.items():
        assert words.es and words.en
        assert re.findall(r"\{\w+\}", words.es) == re.findall(r"\{\w+\}", words.en) or sorted(
            re.findall(r"\{\w+\}", words.es)
        ) == sorted(re.findall(r"\{\w+\}", words.en)), key
    assert 'name="language" id="es" checked' in text and 'for="en"' in text


def test_panes_show_matching_lines_and_why(found, program):
    pair, explained = report.explained_pairs(found)[0]
    assert {match.left.name for match in explained.units} >= {"Corpus.scores", "best", "summary"}
    scores = next(match for match in explained.units if match.left.name == "Corpus.scores")
    assert scores.share > 0.5 and len(scores.statements) >= 5
    assert {statement.how for match in explained.units for statement in match.statements} >= {"renamed", "structure"}
    lines = program.split("\n")
    for match in explained.units:
        for statement in match.statements:
            assert match.left.line <= statement.left[0] <= match.left.end or match.left.name == "(module)"
            assert lines[statement.left[0] - 1].strip()
    assert any(left == "self" for match in explained.units for left, _ in match.names)
    assert any(item.kind == "comment" for item in explained.oddities)
    assert sum(explained.shares.values()) == pytest.approx(pair.evidence)


def test_csv_is_quoted_against_formulas_and_json_agrees(found, tmp_path):
    export.write_csv(found, tmp_path / "pairs.csv")
    export.write_report_json(found, report.explained_pairs(found), tmp_path / "report.json")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "pairs.csv").read_text(encoding="utf-8"))))
    data = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [float(row["evidence"]) for row in rows] == [row["evidence"] for row in data["pairs"]]
    assert all(
        not value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values() if not value[:1].isdigit()
    )
    assert data["explained"][0]["functions"][0]["statements"]
    assert any("does not parse" in note for note in data["files"]["=cmd()/+broken.py"])


def test_report_with_nothing_in_common(tmp_path):
    found = compare([reading.from_text("x = 1\n", "ana", "a.py"), reading.from_text("", "eva", "b.py")])
    text = report.page(found, report.explained_pairs(found))
    Parsed(text)
    assert "Nada en común" in text and "Ningún par" in text


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shared.originality", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_exit_codes(tmp_path, program, capsys):
    for owner, text in (("ana", program), ("eva", apply(("rename",), program, Random(0))), ("luz", "x = 1\n")):
        (tmp_path / "class" / owner).mkdir(parents=True)
        (tmp_path / "class" / owner / "a.py").write_text(text)
    folder, out = tmp_path / "class", tmp_path / "out"
    assert main(Compare(class_folder=folder, out=out)) == 1
    assert main(Compare(paths=(folder / "ana", folder / "luz"), out=out)) == 0
    assert main(Compare(paths=(folder / "luz",), reference=(folder / "ana",), out=out)) == 0
    assert "1 is the most that" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"report.html", "pairs.csv", "report.json"}
    done = run(str(folder / "ana"), str(tmp_path / "nowhere"), "--out", str(out))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "nowhere" in done.stderr
    assert run().returncode == 2


def test_check_script_exit_codes(tmp_path, program):
    (tmp_path / "one.py").write_text(program)
    (tmp_path / "two.py").write_text(apply(("rename",), program, Random(0)))
    (tmp_path / "three.py").write_text("x = 1\n")

    def check(submission: str, reference: str) -> int:
        words = ["--submission", str(tmp_path / submission), "--reference", str(tmp_path / reference)]
        command = [sys.executable, str(ROOT / "tests" / "check_originality.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert [check("one.py", "two.py"), check("one.py", "three.py"), check("one.py", "four.py")] == [1, 0, 2]
