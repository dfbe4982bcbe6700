"""The front page's table of projects: what stands, what is planned, and numbers that are those of results/."""

import pytest

from shared.course import status
from shared.errors import UserError

FOUND = """found.en = "accuracy {results:summary.csv?method=baseline&column=accuracy|.2f}"
found.es = "exactitud {results:summary.csv?method=baseline&column=accuracy|.2f}"
"""


@pytest.fixture
def tree(toy):
    """The toy project with a sentence of what it found, one planned, and two front pages."""
    path = toy.folder / "project.toml"
    path.write_text(path.read_text().replace("[card]\n", f"[card]\n{FOUND}"))
    (toy.root / "projects" / "planned.toml").write_text('[later]\nen = "what comes"\nes = "lo que viene"\n')
    for name in status.READMES.values():
        (toy.root / name).write_text("# T\n<!-- begin projects -->\nold\n<!-- end projects -->\nrest\n")
    return toy.root


def test_the_front_pages_of_this_repository_say_what_results_say():
    assert status.stale() == [], "make status ARGS=--write"


def test_what_stands_comes_first_with_its_number_and_command_then_what_is_planned(tree):
    [(name, said, command), planned] = status.rows("en", tree)
    assert (name, command) == ("toy", "make run-toy") and said.startswith("accuracy 0.")
    assert planned == ("later", "planned: what comes", "")
    assert status.rows("es", tree)[0][1].startswith("exactitud 0.")


def test_writing_brings_both_pages_up_to_date_and_a_new_number_makes_them_stale(tree):
    assert status.stale(tree) == ["README.md", "README.es.md"]
    status.write(tree)
    assert status.stale(tree) == []
    spanish = (tree / "README.es.md").read_text()
    assert "[toy](projects/toy/README.es.md)" in spanish and spanish.endswith("<!-- end projects -->\nrest\n")
    summary = tree / "projects" / "toy" / "results" / "summary.csv"
    summary.write_text(summary.read_text().replace("0.", "0.0"))
    assert status.stale(tree) == ["README.md", "README.es.md"]


def test_a_planned_project_that_stands_and_a_card_without_a_sentence_are_one_line(tree):
    (tree / "projects" / "planned.toml").write_text('[toy]\nen = "what comes"\nes = "lo que viene"\n')
    with pytest.raises(UserError, match=r"planned\.toml: toy stands already"):
        status.rows("en", tree)
    card = tree / "projects" / "toy" / "project.toml"
    card.write_text(card.read_text().replace("found.es", "lost.es"))
    with pytest.raises(UserError, match=r"toy/project\.toml: \[card\] lacks 'es' of found\.es"):
        status.rows("es", tree)
