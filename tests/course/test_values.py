"""Names and numbers: nothing leaves its folder, and a number that cannot be resolved stops the build in one line."""

import pytest

from shared.course import project, values
from shared.errors import UserError


def test_a_cell_is_found_by_its_row_and_formatted(toy):
    first = "{results:summary.csv?method=ours, r = 2&column=accuracy|.1%}"
    text = first + " y {results:summary.csv?seeds=3&method=baseline&column=seeds}"
    assert values.resolve(text, toy.results) == "93.5% y 3"


def test_a_json_value_is_found_by_its_key(toy):
    (toy.results / "e.json").write_text('{"versions": {"torch": "2.1"}, "n": 12345}')
    assert values.resolve("{results:e.json?key=versions.torch} {results:e.json?key=n|,}", toy.results) == "2.1 12,345"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("nosuch.csv?column=a", "not in results/"),
        ("../README.md?column=a", "leaves results/"),
        ("summary.csv?method=nobody&column=accuracy", "0 rows match"),
        ("summary.csv?seeds=3&column=accuracy", "2 rows match"),
        ("summary.csv?method=baseline&column=f1", "no column 'f1'"),
        ("summary.csv?metod=baseline&column=accuracy", "no column 'metod'"),
        ("summary.csv?method=baseline", "column= is missing"),
        ("summary.csv?method", "is not name=value"),
        ("summary.csv?method=baseline&column=method|.2f", "is no number"),
        ("summary.csv?method=baseline&column=accuracy|.2q", "Invalid format|Unknown format"),
        ("e.json?key=a.b", "no key"),
        ("e.json?key=a", "no single value"),
    ],
)
def test_what_cannot_be_resolved_says_why_and_where(toy, expression, said):
    (toy.results / "e.json").write_text('{"a": {}}')
    with pytest.raises(UserError, match=said) as caught:
        values.resolve(f"x {{results:{expression}}}", toy.results)
    assert expression.split("|")[0] in str(caught.value) and "\n" not in str(caught.value)


def test_the_files_that_a_text_reads_are_known():
    assert values.sources("{results:a.csv?x=1|.2f} {results:b.json?key=k}") == {"results/a.csv", "results/b.json"}


@pytest.mark.parametrize("name", ["nosuch", "../toy", "toy/", "..", "", "/etc", "toy\n", "Toy", "toy;ls"])
def test_a_name_that_is_no_project(toy, name):
    with pytest.raises(UserError, match=r"no project .*; the projects are: toy"):
        project.find(name, toy.root)


def test_a_project_is_found(toy):
    assert project.find("toy", toy.root) == toy


def test_a_link_that_leaves_results_is_refused(toy):
    (toy.results / "out.csv").symlink_to(toy.folder / "README.md")
    with pytest.raises(UserError, match="leaves results/"):
        project.inside(toy.results, "out.csv")


def test_what_changed_since_it_was_recorded(toy):
    recorded = project.digests(toy, {"results/summary.csv", "demo.toml", "gone.txt"})
    assert project.stale(toy, recorded) == []
    (toy.results / "summary.csv").write_text("x")
    (toy.folder / "gone.txt").write_text("")
    assert project.stale(toy, recorded) == ["gone.txt", "results/summary.csv"]
