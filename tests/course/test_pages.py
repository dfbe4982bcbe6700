"""The course's pages in a browser: no serious finding of axe-core, nothing cut at 390 px, one language at a time."""

import json

import pytest

from shared.course import dashboard, notebook_html
from shared.course.grading import rubric, score, webpage
from shared.course.grading.checks import CHECKS
from shared.course.grading.outcomes import Outcome, Said
from shared.lab.browser import faults, faults_everywhere

pytestmark = pytest.mark.browser
WORD = "palabra" * 40  # that no line can break


@pytest.fixture
def pages(toy):
    """The dashboard, the grades and a notebook of the toy, with long words, output and numbers; their addresses."""
    outcomes = {name: Outcome(0.0, Said(f"not there: {WORD}", f"no está: {WORD}"), detail=WORD) for name in CHECKS}
    entry = {"number": "0.93", "line": 3, "status": "traced"}
    entry["cited"] = [{"function": "mean", "of": WORD, "lines": 3, "logs": [WORD]}]
    entry["source"] = {"file": "summary.csv", "row": WORD, "column": "accuracy", "value": 0.93}
    outcomes["provenance"] = Outcome(1.0, Said("1 of 1", "1 de 1"), data=[entry])
    grades = toy.root / "build" / "grade" / "report.html"
    toy.graded.mkdir(parents=True)
    grades.write_text(webpage.html_page([score.Graded(toy, outcomes, 1.0)], rubric.load()))
    verdicts = {"tests": {"share": 1, "reason": {"es": "pasan 2", "en": "2 passed"}}}
    (toy.graded / "verdicts.json").write_text(json.dumps(verdicts))
    code = {"cell_type": "code", "source": "x = 1  # uno\nfor each in 'ab':\n    print(each, x < 2)", "outputs": []}
    (toy.results / "notebook.ipynb").write_text(json.dumps({"cells": [code]}))
    return {"dashboard": dashboard.build(toy.root).as_uri(), "grades": grades.as_uri(),
            "notebook": notebook_html.write(toy).as_uri()}  # fmt: skip


@pytest.mark.parametrize("name", ["dashboard", "grades", "notebook"])
def test_no_page_has_a_serious_fault(chromium, pages, name):
    assert faults_everywhere(chromium, pages[name]) == []


def test_what_is_folded_away_has_none_either(chromium, pages):
    with chromium.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(pages["grades"])
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert faults(page) == []


def test_on_a_phone_every_points_and_reason_is_inside_the_window(chromium, pages):
    with chromium.new_context(viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto(pages["grades"])
        boxes = page.evaluate("[...document.querySelectorAll('.stack td')].map((e) => e.getBoundingClientRect())")
        assert len(boxes) > 30 and max(box["right"] for box in boxes) <= 390
        assert min(box["width"] for box in boxes) > 250, "each stands on a line of its own, and not letter by letter"


def test_the_page_shows_one_language_and_remembers_it(chromium, pages):
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(pages["dashboard"])
        seen = page.inner_text("body")
        assert "¿Qué?" in seen and "What?" not in seen and page.get_attribute("html", "lang") == "es"
        page.get_by_text("EN", exact=True).click()
        seen = page.inner_text("body")
        assert "What?" in seen and "¿Qué?" not in seen and "2 passed" in seen
        assert page.title() == "Course projects" and page.get_attribute("html", "lang") == "en"
        page.goto(pages["grades"])
        seen = page.inner_text("body")
        assert "no está" not in seen and "not there" in seen, "the other page knows it too"
        page.reload()
        assert page.is_checked("#en")


def test_without_scripts_the_switch_works_all_the_same(chromium, pages):
    with chromium.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(pages["dashboard"])
        page.get_by_text("EN", exact=True).click()
        assert page.get_by_text("What?").is_visible() and not page.get_by_text("¿Qué?").is_visible()
