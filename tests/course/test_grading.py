"""Grades: every check bites, children keep their limits, and nothing that a submission does stops the grading."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from shared.course import notebook
from shared.course.cells import NUMBER
from shared.course.grading import (
    checks,
    children,
    pristine,
    report,
    rubric,
    score,
    signatures,
    webpage,
)
from shared.course.grading.checks import CHECKS
from shared.course.grading.outcomes import Context, Outcome
from shared.course.project import ROOT, Project, digests
from shared.errors import UserError

LIMITS = rubric.Limits(seconds=60, cpu_seconds=60, memory_gb=4, demo_key_share=0.5)


@pytest.fixture
def context(toy, tmp_path_factory):
    return Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("scratch"))


def run(code, limits=LIMITS, folder=ROOT):
    return children.run([sys.executable, "-c", code], folder, limits)


def save(root):
    """Commit the working tree."""
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"], cwd=root)


# ---------------------------------------------------------------- the rubric


def test_the_rubric_is_the_courses():
    rules = rubric.load()
    assert {name: group["points"] for name, group in rules.groups.items()} == {"presentation": 12, "project": 8}
    machine = {each.id for each in rules.criteria if each.judge == "machine"}
    assert machine == set(CHECKS), "each machine criterion has its check, each check its criterion"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("points = 12", "points = 13", "'presentation' add up to 12, not 13"),
        ('\njudge = "person"', '\njudge = "oracle"', "unknown group or judge"),
        ('id = "trailer"', 'id = "film"', "one id twice"),
        ("[limits]", "[limitz]", "limits"),
        ("points = 12", "points = ", "rubric.toml: "),
    ],
)
def test_a_wrong_rubric_says_so(tmp_path, old, new, said):
    path = tmp_path / "rubric.toml"
    path.write_text(rubric.RUBRIC.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        rubric.load(path)


# ---------------------------------------------------------------- children


def test_a_child_says_how_it_ended():
    assert (run("print('hi'); raise SystemExit(3)").code, run("print('hi')").output) == (3, "hi\n")


def test_a_child_that_does_not_end_is_ended_with_its_own_children(tmp_path):
    code = "import subprocess; p = subprocess.Popen(['sleep', '300']); print(p.pid, flush=True); p.wait()"
    ended = run(code, replace(LIMITS, seconds=3))
    assert ended.code is None and "time limit" in ended.trouble
    time.sleep(0.2)
    status = Path(f"/proc/{int(ended.output)}/stat")
    assert not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_child_keeps_its_limits_of_memory_and_processor():
    ended = run("x = bytearray(3 * 2**30)", replace(LIMITS, memory_gb=1))
    assert ended.code == 1 and "MemoryError" in ended.output
    ended = run("while True: pass", replace(LIMITS, cpu_seconds=1, seconds=50))
    assert ended.code in (-9, -24) and "SIG" in ended.trouble


def test_a_child_knows_no_secret_and_its_output_is_bounded(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "hunter2")
    monkeypatch.setenv("CC0C2_TEAM_KEY", "00" * 32)
    assert "hunter2" not in str(children.environment(True)) and "CC0C2_TEAM_KEY" not in children.environment(False)
    assert "CC0C2_TEAM_KEY" in children.environment(True)
    assert len(run("print('x' * 10**6)").output) == children.KEPT


# ---------------------------------------------------------------- tests from pristine copies


def test_all_tests_passing_gives_all_points(context):
    outcome = checks.tests(context)
    assert outcome.share == 1 and outcome.reason.startswith("2 passed, tests of commit")


def test_where_warnings_are_errors_the_tests_are_counted_too(toy, tmp_path_factory):
    (toy.root / "pyproject.toml").write_text('[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n')
    save(toy.root)
    assert checks.tests(Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("s"))).share == 1


def test_a_test_that_fails_costs_its_share(toy, tmp_path_factory):
    from_commit = toy.root / "tests" / "toy" / "test_toy.py"
    from_commit.write_text("def test_a(): pass\n\n\ndef test_b(): assert False\n")
    save(toy.root)
    outcome = checks.tests(Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("s")))
    assert outcome.share == 0.5 and "1 of 2 passed" in outcome.reason
    assert outcome.reason.endswith("; not: test_b") and outcome.reason.es.endswith("; no: test_b")


def test_an_edited_test_is_reported_and_not_used(toy, context):
    """The working tree's tests would fail; and one that always passes was added: the trusted ones are run."""
    (toy.root / "tests" / "toy" / "test_toy.py").write_text("def test_a(): assert False\n")
    (toy.root / "tests" / "toy" / "test_mine.py").write_text("def test_mine(): pass\n")
    outcome = checks.tests(context)
    assert outcome.share == 1 and "2 passed" in outcome.reason
    assert "edited and not used: tests/toy/test_mine.py, tests/toy/test_toy.py" in outcome.reason


def test_the_graded_code_is_that_of_the_working_tree(toy, tmp_path):
    (toy.folder / "new.py").write_text("x = 1\n")
    (toy.folder / "__pycache__").mkdir()
    box = pristine.prepare(toy.root, tmp_path / "box", "HEAD") if (tmp_path / "box").mkdir() is None else None
    assert (box.folder / "projects/toy/new.py").exists() and not (box.folder / "projects/toy/__pycache__").exists()


@pytest.mark.parametrize("commit", ["nosuch", "--output=/tmp/x", "HEAD~7"])
def test_a_commit_that_is_not_there(toy, tmp_path, commit):
    with pytest.raises(UserError, match=r"git rev-parse|is no commit"):
        pristine.prepare(toy.root, tmp_path, commit)


def test_tests_that_crash_or_hang_have_no_points_and_a_reason(toy, tmp_path_factory):
    (toy.folder / "crash.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    (toy.root / "tests/toy/test_toy.py").write_text("import time\n\n\ndef test_a(): time.sleep(300)\n")
    save(toy.root)
    limits = replace(LIMITS, seconds=6)
    assert "not at its end" in checks.tests(Context(toy, limits, "HEAD", tmp_path_factory.mktemp("s"))).reason
    crashed = children.run([sys.executable, "projects/toy/crash.py"], toy.root, LIMITS)
    assert "killed by SIGSEGV" in crashed.trouble


def test_exercises_need_their_text_and_their_tests(toy, context):
    assert checks.exercises(context).share == 1
    (toy.folder / "exercises.md").unlink()
    assert checks.exercises(context).reason.startswith("exercises.md: not there")


# ---------------------------------------------------------------- the other checks


def test_originality_by_the_exit_code_of_the_trusted_script(toy, tmp_path_factory):
    script = toy.root / "tests" / "check_originality.py"
    compared = ("loralib", "no_such_package", "peft/no_such_part")

    def outcome(references=compared):
        return checks.originality(Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("s"), references))

    assert "not there" in outcome().reason
    for code, share in ((0, 1), (1, 0), (2, 0)):
        expected = "sys.argv[1:4] == ['--submission', 'projects/toy', '--reference'] and 'loralib' in sys.argv[4]"
        script.write_text(f"import sys\nassert {expected} and len(sys.argv) == 5, sys.argv\nsys.exit({code})\n")
        save(toy.root)
        assert outcome().share == share
    script.write_text("print('always original')\n")
    assert "could not be judged (exit code 2)" in outcome().reason, "an edited script is not used"
    assert "none of the rubric's external solutions" in outcome(("no_such_package",)).reason
    about = toy.folder / "project.toml"
    about.write_text('originality = ["loralib"]\n' + about.read_text())
    script.write_text("import sys\nassert len(sys.argv) == 6 and 'loralib' in sys.argv[5]\nsys.exit(0)\n")
    save(toy.root)
    assert outcome(("peft",)).share == 1, "those of the project are compared too"


def test_fingerprints(toy, context, monkeypatch):
    from shared.fingerprint import seal_directory, team_key

    assert "make run-toy" in signatures.check(context).reason
    folder = toy.root / "runs" / "toy" / "adapter"
    folder.mkdir(parents=True)
    assert "runs/toy: no complete run; make run-toy" in signatures.check(context).reason
    (folder / "x").write_text("1")
    seal_directory(folder, {"step": 1}, team_key())
    outcome = signatures.check(context)
    assert outcome.share == LIMITS.demo_key_share and "demo key" in outcome.reason
    (folder / "x").write_text("2")
    outcome = signatures.check(context)
    assert outcome.share == 0 and "TAMPERED" in outcome.reason and "1 of 1 not intact" in outcome.reason
    (folder / "x").unlink()
    (folder / "manifest.json").unlink()
    monkeypatch.setenv("CC0C2_TEAM", "ours")
    monkeypatch.setenv("CC0C2_TEAM_KEY", "ab" * 32)
    (folder / "x").write_text("1")
    seal_directory(folder, {"step": 1}, team_key())
    assert signatures.check(context).share == 1


def test_the_notebooks_age(toy, context):
    assert "make notebook-toy" in checks.notebook_age(context).reason
    sources = digests(toy, notebook.sources(toy))
    book = {"cells": [{"outputs": [{"data": {NUMBER: []}}]}], "metadata": {"cc0c2": {"sources": sources}}}
    notebook.committed(toy).write_text(json.dumps(book))
    assert checks.notebook_age(context).share == 1
    (toy.folder / "notebook.py").write_text("")
    assert checks.notebook_age(context).reason == "changed since it was executed: notebook.py"


# ---------------------------------------------------------------- reports


def test_a_check_that_breaks_leaves_the_others(toy, context, monkeypatch):
    monkeypatch.setitem(CHECKS, "originality", lambda _: 1 / 0)
    outcomes = checks.assess(context)
    assert outcomes["originality"] == Outcome(0.0, "the check itself failed: ZeroDivisionError: division by zero")
    assert set(outcomes) == set(CHECKS)


@pytest.fixture
def graded(toy):
    """One full outcome, one that tries to write HTML, the rest empty."""
    outcomes = {name: Outcome(0.0, "no está") for name in CHECKS}
    outcomes["tests"] = Outcome(1.0, "2 passed")
    outcomes["originality"] = Outcome(
        0.5, "<script>alert(1)</script> | x", detail="</code><img src=x onerror=alert(1)>"
    )
    source = {"file": "s.csv", "row": "<i>", "column": "a", "value": 0.93}
    cited = [{"function": "mean", "of": "<u>", "lines": 3, "logs": ["<u>"]}]
    number = {"number": "<b>0.93</b>", "line": 3, "context": "", "status": "traced", "source": source, "cited": cited}
    outcomes["provenance"] = Outcome(1.0, "1 of 1", data=[number])
    return score.Graded(toy, outcomes, 1.5)


def test_results_are_what_gradescope_reads(graded):
    rules = rubric.load()
    results = report.gradescope(graded, rules)
    assert results["score"] == 2.5 + 0.5 + 1 and results["extra_data"]["person_points"] == 7
    scored = [line for line in results["tests"] if "score" in line]
    assert sum(line["max_score"] for line in scored) == 13 and len(results["tests"]) == len(rules.criteria)
    people = [line for line in results["tests"] if "person" in line["tags"]]
    assert len(people) == 3 and not any("score" in line for line in people), "nobody's judgement is invented"


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.pop("tests"),
        lambda r: r["tests"][0].update(status="ok"),
        lambda r: r["tests"][0].update(visibility="all"),
        lambda r: r["tests"][0].pop("max_score"),
        lambda r: r["tests"][0].update(points=3),
        lambda r: r.update(score="4"),
    ],
)
def test_the_schema_bites(graded, change):
    results = report.gradescope(graded, rubric.load())
    change(results)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(results, json.loads(report.SCHEMA.read_text()))


def test_pages_escape_what_a_submission_prints(graded):
    page = webpage.html_page([graded], rubric.load())
    assert "<script>alert" not in page and "<img src=x" not in page and "<b>0.93" not in page and "<u>" not in page
    assert "&lt;script&gt;" in page and "http" not in page.replace("http-equiv", ""), "nothing from outside"
    text = report.markdown(graded, rubric.load())
    assert "<script>" not in text and "\\| x" in text and "____ / 3" in text


def test_one_projects_crash_grades_the_others(toy, monkeypatch):
    other = Project("other", toy.root)

    def broken(context, kept):
        return 1 / 0 if context.project == other else dict.fromkeys(CHECKS, Outcome(1.0, "ok"))

    monkeypatch.setattr(checks, "assess", broken)
    graded = report.main([other, toy])
    assert [score.totals(each, rubric.load())[0] for each in graded] == [13, 0], "highest first"
    assert "grading broke: ZeroDivisionError" in (other.graded / "report.md").read_text()
    for project in (other, toy):
        assert json.loads((project.graded / "results.json").read_text())["tests"]
    page = (toy.root / "build/grade/report.html").read_text()
    assert re.findall(r"<h2>(\w+)</h2>", page) == ["toy", "other"]


@pytest.mark.parametrize("verb", ["notebook", "demo", "grade"])
def test_the_commands_refuse_what_is_no_project(verb):
    done = subprocess.run(
        [sys.executable, "-m", "shared.course", verb, "../x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: no project '../x'; the projects are: ")


# ---------------------------------------------------------------- cheats that gain nothing


CHEATS = {
    "prints and exits": "print('999 passed in 1.00s', flush=True)\nimport os\nos._exit(0)\n",
    "leaves by an exception": "print('999 passed in 1.00s')\nraise SystemExit(0)\n",
    "writes to every descriptor": (
        "import json, os\nsaid = json.dumps({'code': 0, 'passed': 999, 'failed': 0}).encode()\n"
        "for number in range(3, 64):\n    try:\n        os.write(number, said)\n    except OSError:\n        pass\n"
        "os._exit(0)\n"
    ),
    "replaces the reporter": (
        "import _pytest.runner as r, pytest\nr.CallInfo.from_call = classmethod(lambda *a, **k: pytest.exit('x', 0))\n"
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_project_that_pretends_to_pass_has_no_points(toy, tmp_path_factory, cheat):
    (toy.folder / "__init__.py").write_text(CHEATS[cheat])
    (toy.root / "projects" / "__init__.py").write_text("")
    (toy.root / "tests/toy/conftest.py").write_text("import projects.toy\n")
    (toy.root / "tests/toy/test_toy.py").write_text("import projects.toy\n\n\ndef test_a(): assert False\n")
    save(toy.root)
    outcome = checks.tests(Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("s")))
    assert outcome.share == 0 and outcome.judged, outcome


def test_code_that_shadows_pytest_in_the_graded_folder_is_not_what_counts(toy, tmp_path_factory):
    fake = "import sys\nprint('999 passed')\nmain = lambda *a, **k: 0\nhookimpl = lambda **k: (lambda f: f)\n"
    for name in ("pytest.py", "xdist.py", "json.py"):
        (toy.root / "projects" / name).write_text(fake)
        (toy.root / "shared" / name).write_text(fake)
    (toy.root / "tests/toy/test_toy.py").write_text("def test_a(): pass\n\n\ndef test_b(): assert False\n")
    save(toy.root)
    outcome = checks.tests(Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("s")))
    assert outcome.share == 0.5, outcome


def test_what_does_not_end_in_its_time_is_left_to_a_person_and_costs_nothing(toy, tmp_path_factory):
    (toy.root / "tests/toy/test_toy.py").write_text("import time\n\n\ndef test_a(): time.sleep(300)\n")
    save(toy.root)
    outcome = checks.tests(Context(toy, replace(LIMITS, seconds=6), "HEAD", tmp_path_factory.mktemp("s")))
    assert not outcome.judged and outcome.reason.startswith("not judged")
    rules = rubric.load()
    outcomes = {each.id: Outcome(1.0, "") for each in rules.criteria if each.judge == "machine"}
    whole = score.totals(score.Graded(toy, outcomes, 1.0), rules)
    slow = score.Graded(toy, {**outcomes, "tests": outcome}, 1.0)
    lost = next(each.points for each in rules.criteria if each.id == "tests")
    reached, possible, left = score.totals(slow, rules)
    assert (reached, possible, left) == (whole[0] - lost, whole[1] - lost, whole[2] + lost)
    line = next(each for each in report.gradescope(slow, rules)["tests"] if "sin juzgar" in each["output"])
    assert "score" not in line and "status" not in line
    assert f"___ / {lost:g}" in webpage.html_page([slow], rules)
