"""The dashboard and its pages: self-contained, escaped, bilingual, readable, and one mistake hides no other card."""

import base64
import json
import os
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from shared.course import dashboard, pages
from shared.course.film import screenplay
from shared.course.project import find, names

VOID = {"meta", "input", "img", "br", "link"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text):
    parsed = Outline()
    parsed.feed(text)
    assert parsed.open == []
    return parsed


@pytest.fixture
def page(toy):
    return dashboard.build(toy.root).read_text()


def test_a_card_says_what_the_issue_asks_for(page):
    for part in ("0.935", "± 0.003", "0.851", "make results-toy", "make run-toy", "una semilla", "one seed"):
        assert part in page
    for part in ("¿Qué?", "What?", "make film-toy", "make notebook-toy", "make grade-toy"):
        assert part in page
    assert "data:image/png;base64," in page


def test_the_page_needs_nothing_from_outside_and_no_script_but_the_switchs(page):
    parsed = outline(page)
    assert parsed.seen.count("script") == 1 and pages.SCRIPT.read_text() in page
    assert "link" not in parsed.seen and "@import" not in page
    loaded = [value for tag, name, value in parsed.attributes if name in ("src", "href", "poster")]
    assert all(not re.match(r"(https?:)?//", value) for value in loaded)
    assert all(not name.startswith("on") for _, name, _ in parsed.attributes)


def test_links_lead_to_html_that_is_there(toy):
    cells = [
        {"cell_type": "markdown", "source": ["# Título\n", "<script>alert(1)</script>"]},
        {"cell_type": "code", "source": "1 < 2", "outputs": [
            {"output_type": "execute_result", "data": {"text/plain": "<b>True"}},
            {"output_type": "execute_result", "data": {"text/html": "<table></table>", "image/png": "QUJD\n"}},
        ]},
    ]  # fmt: skip
    (toy.results / "notebook.ipynb").write_text(json.dumps({"cells": cells}))
    toy.graded.mkdir(parents=True)
    (toy.root / "build/grade/report.html").write_text("")
    path = dashboard.build(toy.root)
    links = [value for _, name, value in outline(path.read_text()).attributes if name == "href"]
    assert links == ["../notebook/toy.html", "../grade/report.html#toy"], "neither .ipynb nor .md"
    assert all((path.parent / link.partition("#")[0]).is_file() for link in links)
    notebook = toy.notebook_page.read_text()
    assert "<h1>Título" in notebook and "<script>alert" not in notebook and "&lt;b&gt;True" in notebook
    assert "data:image/png;base64,QUJD" in notebook and "default-src 'none'" in notebook, "it loads nothing"
    toy.notebook_page.write_text("kept")
    dashboard.build(toy.root)
    assert toy.notebook_page.read_text() == "kept", "made when it is missing, or older than the notebook"
    os.utime(toy.notebook_page, (0, 0))
    dashboard.build(toy.root)
    assert "Título" in toy.notebook_page.read_text()


def test_a_notebook_that_cannot_be_shown_hides_no_card(toy, capsys):
    (toy.results / "notebook.ipynb").write_text("{}")
    assert "make notebook-toy" in dashboard.build(toy.root).read_text()
    assert "cannot be shown" in capsys.readouterr().err


def test_verdicts_of_the_last_grade_are_shown(toy):
    toy.graded.mkdir(parents=True)
    shown = {
        "tests": {"share": 1, "reason": {"es": "pasan 2", "en": "2 passed"}},
        "originality": {"share": 0, "reason": {"es": '"><script>x', "en": "y"}},
    }
    (toy.graded / "verdicts.json").write_text(json.dumps(shown))
    page = dashboard.build(toy.root).read_text()
    assert "✓" in page and "✗" in page and "<script>x" not in page and "&quot;&gt;&lt;script" in page
    assert '<span lang="es">pasan 2</span><span lang="en">2 passed</span>' in page, "reasons are text"
    assert 'title="' not in page


def test_a_project_writes_no_html_into_the_page(toy):
    about = toy.folder / "project.toml"
    text = about.read_text().replace('question.es = "¿Qué?"', 'question.es = "<script>alert(1)</script><img src=x>"')
    about.write_text(text.replace('title.es = "Juguete"', "title.es = '</h2><b onclick=x>'"))
    page = dashboard.build(toy.root).read_text()
    assert "<script>alert" not in page and "<img src=x" not in page and "<b onclick" not in page
    outline(page)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[card]", "[cart]", "[card] is missing"),
        ('figure = "figure.png"', 'figure = "../demo.toml"', "leaves results/"),
        ('time.es = "1 s"\ntime.en = "1 s"\n', "", "time is missing"),
        ("column=accuracy_sd", "column=nosuch", "no column"),
        ('metric.en = "accuracy"', "", "a text in"),
        ("[card]", "[card", "Expected"),
    ],
)
def test_one_projects_mistake_is_said_on_its_card(toy, old, new, said):
    about = toy.folder / "project.toml"
    about.write_text(about.read_text().replace(old, new, 1))
    page = dashboard.build(toy.root).read_text()
    assert "No card" in page and said in page.replace("&#x27;", "'")


def test_text_can_be_read():
    for scheme in (pages.COLOURS, pages.DARK):
        for ink, paper in pages.PAIRS:
            assert pages.contrast(scheme[ink], scheme[paper]) >= 4.5, (ink, paper)
    assert pages.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # a known pair, just below


def test_every_colour_pair_of_the_style_is_checked():
    """A rule that sets both a text and a background colour uses a checked pair."""
    style = pages.STYLE.read_text()
    for rule in re.findall(r"\{([^{}]*)\}", style):
        ink = re.search(r"(?<![-\w])color:var\(--([\w-]+)\)", rule)
        paper = re.search(r"background:var\(--([\w-]+)\)", rule)
        if ink and paper:
            assert {(ink[1], paper[1]), (paper[1], ink[1])} & set(pages.PAIRS), rule


def test_the_switch_is_reachable_by_keyboard(page):
    parsed = outline(page)
    radios = [value for tag, name, value in parsed.attributes if tag == "input" and name == "type"]
    assert radios == ["radio", "radio"] and "focus-visible" in pages.STYLE.read_text()
    assert "display:none" not in re.search(r"\.lang\{[^}]*\}", pages.STYLE.read_text())[0], "hidden is not reachable"
    body = page.partition("<body>")[2]
    assert body.count('lang="es"') == body.count('lang="en"'), "every text is in both languages"
    assert 'name="viewport"' in page


@pytest.mark.parametrize("name", names())
def test_every_project_has_its_card_and_its_screenplay(name):
    project = find(name)
    assert dashboard.load(project).texts["shows"]["es"]
    play = screenplay.load(project)
    from shared.course.film import cast, recording, rendering

    rendering.Renderer(play, cast.Cast(recording.WIDTH, recording.HEIGHT, ()), project.results)
    assert any(step.trailer for step in play.steps) and any(step.figure for step in play.steps)


def test_each_language_has_its_figure(toy):
    Image.new("RGB", (80, 40), (30, 30, 200)).save(toy.results / "figure.es.png")
    page = dashboard.card_html(toy, toy.root / "build")
    for language, name in (("en", "figure.png"), ("es", "figure.es.png")):
        picture = base64.b64encode((toy.results / name).read_bytes()).decode()
        assert f'<img lang="{language}" src="data:image/png;base64,{picture}"' in page
