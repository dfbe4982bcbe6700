"""The commands that a grader types: discovery, help, and an error for a project that is not there."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("projects/*/__main__.py"))


def make(*words):
    return subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("verb", ["run", "test", "bench", "results", "notebook", "demo", "grade"])
def test_a_project_that_is_not_there(verb):
    done = make(f"{verb}-nosuch")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"no project 'nosuch'; the projects are: {' '.join(NAMES)}"


def test_list_is_json_of_the_discovered_projects():
    assert json.loads(make("list").stdout) == NAMES


def test_help_names_every_project_and_target():
    said = make().stdout
    assert all(name in said for name in NAMES)
    assert all(f"make {target}" in said for target in ("run-<project>", "test", "check", "verify", "setup"))


@pytest.mark.parametrize("verb", ["run", "bench", "results", "test"])
def test_every_project_has_its_commands(verb):
    for name in NAMES:
        done = make("--dry-run", f"{verb}-{name}")
        assert done.returncode == 0, done.stderr
        results = "study" if (ROOT / "projects" / name / "study.py").exists() else "experiments"
        module = {"run": name, "bench": f"{name}.benchmark", "results": f"{name}.{results}"}.get(verb)
        assert (f"-m projects.{module}" if module else f"-m pytest -n 2 --dist loadfile tests/{name}") in done.stdout


@pytest.mark.parametrize("verb", ["notebook", "demo", "grade"])
def test_every_project_is_shown_and_graded_by_one_command(verb):
    for name in NAMES:
        done = make("--dry-run", f"{verb}-{name}")
        assert done.returncode == 0, done.stderr
        assert f"-m shared.course {verb} {name}" in done.stdout


def test_every_version_is_pinned():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==\S+", line) for line in lines), lines


def test_ci_runs_the_checks_and_the_tests():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    text = (ROOT / ".ci/run").read_text()
    assert "make check" in text and "make test" in text
