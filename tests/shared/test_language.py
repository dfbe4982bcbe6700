"""The terminal's language: what LANG says unless --lang says otherwise, and never two of them in one output."""

import pytest

from shared.course import __main__ as course
from shared.course.grading import preparing, report, rubric
from shared.course.grading.checks import CHECKS
from shared.course.grading.outcomes import Outcome, Said
from shared.course.grading.score import Graded
from shared.course.project import Project, find
from shared.language import VARIABLES, terminal


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "es_PE.UTF-8"}, "es"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "es_ES.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "", "LC_MESSAGES": "es"}, "es"),
    ],
)
def test_the_environment_says_the_language(monkeypatch, environment, expected):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal() == expected
    assert course.Status().lang == course.Grade().lang == course.Film("lora").lang == expected
    assert course.Status(lang="es").lang == "es"


def graded(tmp_path):
    outcomes = {name: Outcome(1.0, Said("a reason", "un motivo")) for name in CHECKS}
    return Graded(Project("toy", tmp_path), outcomes, 1.0)


def test_a_grade_speaks_one_language(tmp_path, capsys):
    rules = rubric.load()
    report.show(graded(tmp_path), rules, "es")
    spanish = capsys.readouterr().out
    assert "un motivo" in spanish and "criterio" in spanish and "lo completa una persona" in spanish
    assert not any(word in spanish for word in ("a reason", "criterion", "fills this in", " of ", " more by"))
    report.show(graded(tmp_path), rules, "en")
    english = capsys.readouterr().out
    assert "a reason" in english and "criterion" in english and "una persona" not in english


def test_what_is_said_first_speaks_one_language(capsys):
    assert preparing.SAID["es"].keys() == preparing.SAID["en"].keys()
    preparing.announce([find("lora")], False, "es")
    said = capsys.readouterr().err
    assert said.startswith("lora: película: ") and "de dos a cuatro minutos" in said and "run:" not in said


def test_a_film_is_told_in_one_language(capsys):
    made = {"editions": {"demo": {"seconds": 400.0, "bytes": 1e6, "times_real_time": 5.0}}, "commit": "c" * 40}
    course.show_films(find("lora"), {**made, "changed": ["README.md"]}, "es")
    said = capsys.readouterr().out
    assert "Películas" in said and "grabada con el commit" in said and "recorded" not in said and "length" not in said
