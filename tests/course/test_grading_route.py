"""`make grade-<project>` alone makes the film, says what it takes, goes on after Ctrl-C, forgives killed runs."""

import json
import shutil
import subprocess

import pytest

from shared.course.grading import films, outcomes, preparing, report, rubric, signatures
from shared.course.grading.checks import CHECKS
from shared.course.grading.outcomes import Context, Outcome, Said
from shared.course.project import digests

LIMITS = rubric.Limits(seconds=60, cpu_seconds=60, memory_gb=4, demo_key_share=0.5)


@pytest.fixture
def context(toy, tmp_path_factory):
    return Context(toy, LIMITS, "HEAD", tmp_path_factory.mktemp("scratch"))


def save(root):
    """Commit the working tree."""
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"], cwd=root)


@pytest.fixture
def rendered(toy, monkeypatch):
    """What is asked to be rendered; the toy has no shared/ to do it with."""
    asked = []
    monkeypatch.setattr(films, "_render", lambda context: asked.append(context.project.name) or "no recording yet")
    return asked


def test_a_film_that_is_missing_is_rendered_once_for_all_its_criteria(toy, context, rendered):
    found = {name: CHECKS[name](context) for name in ("film", "trailer", "film_age")}
    assert rendered == ["toy"] and all(each.share == 0 for each in found.values())
    assert found["film"].reason == "build/demo/toy/demo.mp4: not there; no recording yet"
    assert found["film"].reason.es == "build/demo/toy/demo.mp4: no está; no recording yet"


def test_a_film_without_a_recording_says_so_in_one_language_and_starts_nothing(toy, context, monkeypatch):
    monkeypatch.setattr(films.children, "run", lambda *_: pytest.fail("run"))
    for name in ("film", "trailer", "chapters", "captions", "film_age"):
        reason = CHECKS[name](context).reason
        assert reason.endswith("not there; no recording yet: make demo-toy ARGS=--keep makes one")
        assert reason.es.endswith("no está; aún sin grabación: make demo-toy ARGS=--keep la hace")


def test_a_film_out_of_date_says_what_changed_and_why_there_is_no_newer(toy, context, rendered):
    toy.build.mkdir(parents=True)
    made = {"sources": digests(toy, {"demo.toml"}), "commit": "ab" * 20, "changed": ["models/x.py"], "editions": {}}
    (toy.build / "film.json").write_text(json.dumps(made))
    outcome = films.age(context)
    assert outcome.share == 1 and "recorded at commit ababababab; changed since: models/x.py" in outcome.reason
    (toy.folder / "demo.toml").write_text("")
    assert films.age(context).reason == "changed since it was made: demo.toml; no recording yet"


def test_a_film_that_is_there_is_not_rendered_again(toy, context, monkeypatch):
    monkeypatch.setattr(films, "present", lambda _: True)
    monkeypatch.setattr(films, "_render", lambda _: pytest.fail("rendered"))
    assert films.trouble(context) == ""


def test_captions_have_to_reach_the_films_end(toy, context, rendered, monkeypatch):
    from shared.course.film import encoding

    monkeypatch.setattr(encoding, "probe", lambda _: encoding.Film(400.0, ("a",) * 6, 1))
    toy.film.mkdir()
    toy.build.mkdir(parents=True)
    (toy.build / "demo.mp4").write_bytes(b"")
    monkeypatch.setattr(films, "forged", lambda _: "")
    words = "lo que se ve y por qué " * 60
    (toy.film / "demo.es.srt").write_text(f"1\n00:00:00,000 --> 00:06:39,500\n{words}\n")
    (toy.film / "demo.en.srt").write_text(f"1\n00:00:00,000 --> 00:02:00,000\n{words}\n")
    assert films.captions(context).share == 0.5 and films.captions(context).reason.endswith("in: es")
    assert films.chapters(context).share == pytest.approx(6 / 7)


# ---------------------------------------------------------------- what was interrupted goes on


def counting(monkeypatch, stop_at=None):
    """Checks that say when they ran; one of them is stopped by Ctrl-C."""
    ran = []

    def check(name):
        def run(_):
            if name == stop_at:
                raise KeyboardInterrupt
            ran.append(name)
            return Outcome(0.5, Said("half", "medio"), "detail")

        return run

    for name in CHECKS:
        monkeypatch.setitem(CHECKS, name, check(name))
    return ran


def test_a_grade_goes_on_where_it_was_interrupted(toy, monkeypatch):
    (toy.root / ".gitignore").write_text("build/\n")
    before = counting(monkeypatch, stop_at="notebook")
    with pytest.raises(KeyboardInterrupt) as caught:
        report.main([toy])
    assert caught.value.__notes__ == ["the same command goes on from here"]
    after = counting(monkeypatch)
    (graded,) = report.main([toy])
    assert before + after == list(CHECKS) and graded.outcomes["film"] == Outcome(0.5, "half", "detail")
    assert graded.outcomes["film"].reason.es == "medio"
    again = counting(monkeypatch)
    report.main([toy])
    assert again == list(CHECKS), "a complete grade is made anew"


def test_what_was_interrupted_counts_only_for_the_same_files(toy, monkeypatch):
    (toy.root / ".gitignore").write_text("build/\n")
    counting(monkeypatch, stop_at="notebook")
    with pytest.raises(KeyboardInterrupt):
        report.main([toy])
    (toy.folder / "README.md").write_text("# another\n")
    after = counting(monkeypatch)
    report.main([toy])
    assert after == list(CHECKS)


@pytest.mark.parametrize("change", ["source", "new", "run", "commit"])
def test_outcomes_of_another_state_do_not_count(toy, change):
    before = outcomes.state_of(toy, "HEAD", LIMITS)
    assert before == outcomes.state_of(toy, "HEAD", LIMITS)
    if change == "source":
        (toy.folder / "notebook.py").write_text("x = 1\n")
    if change == "new":
        (toy.folder / "new.py").write_text("x = 1\n")
    if change == "run":
        (toy.root / ".gitignore").write_text("runs/\n")
        before = outcomes.state_of(toy, "HEAD", LIMITS)
        (toy.root / "runs/toy/a").mkdir(parents=True)
        (toy.root / "runs/toy/a/log").write_text("1")
    if change == "commit":
        save(toy.root)
        subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "y"], cwd=toy.root, check=False)
        (toy.root / "x").write_text("")
        save(toy.root)
    assert outcomes.state_of(toy, "HEAD", LIMITS) != before


def test_what_a_grade_takes_is_said_first(toy, capsys):
    preparing.announce([toy], run_missing=False)
    said = capsys.readouterr().err
    assert "film: no recording; make demo-toy ARGS=--keep" in said and "make run-toy makes one" in said
    toy.film.mkdir()
    (toy.film / "recording.cast.gz").write_bytes(b"")
    (toy.root / "runs/toy/a").mkdir(parents=True)
    preparing.announce([toy], run_missing=False)
    said = capsys.readouterr().err
    assert "film: rendered from its recording" in said and "run: those of runs/toy" in said


def test_the_main_run_is_made_only_when_it_is_asked_for_and_missing(toy, capsys):
    (toy.root / "projects" / "__init__.py").write_text("")
    (toy.folder / "__main__.py").write_text("import pathlib\npathlib.Path('runs/toy/a').mkdir(parents=True)\n")
    preparing.run(toy, LIMITS, wanted=False)
    assert not preparing.has_run(toy)
    preparing.run(toy, LIMITS, wanted=True)
    assert preparing.has_run(toy) and capsys.readouterr().err == "make run-toy\n"
    (toy.folder / "__main__.py").write_text("raise SystemExit('no')\n")
    preparing.run(toy, LIMITS, wanted=True)
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- runs that were stopped


def test_a_run_that_was_killed_is_named_and_costs_nothing_but_one_that_was_altered_costs_all(toy, context):
    from shared.fingerprint import ChainedLog, seal_directory, team_key

    whole = toy.root / "runs" / "toy" / "whole"
    whole.mkdir(parents=True)
    (whole / "x").write_text("1")
    seal_directory(whole, {"step": 1}, team_key())
    (toy.root / "runs" / "toy" / "killed").mkdir()
    log = ChainedLog(toy.root / "runs" / "toy" / "killed" / "metrics.jsonl", team_key(), {"run": "killed"})
    log.append({"step": 1, "loss": 2.0})
    log.abandon()
    (log.path.parent / "checkpoints" / "one").mkdir(parents=True)
    (log.path.parent / "checkpoints" / "one" / "x").write_text("1")
    seal_directory(log.path.parent / "checkpoints" / "one", {"step": 1, "run": "killed"}, team_key())
    outcome = signatures.check(context)
    assert outcome.reason.startswith("1 intact"), "nothing of a killed run counts"
    assert outcome.share == LIMITS.demo_key_share
    assert "not complete and not counted: runs/toy/killed/metrics.jsonl (2 intact lines" in outcome.reason
    assert "sin terminar, no cuentan: runs/toy/killed" in outcome.reason.es
    (whole / "x").write_text("2")
    outcome = signatures.check(context)
    assert outcome.share == 0 and "TAMPERED" in outcome.reason
    shutil.rmtree(whole)
    outcome = signatures.check(context)
    assert outcome.share == 0 and "no complete run; make run-toy" in outcome.reason
