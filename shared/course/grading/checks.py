"""The machine's part of the rubric: one function a criterion, each a share from 0 to 1 with its reason.

A check may find nothing (0, with what to run), find something wrong, or fail itself; none of these stops the others.
"""

import importlib.util
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.course.film.screenplay import read_toml
from shared.course.grading import children, pristine, provenance
from shared.course.grading.rubric import Limits
from shared.course.project import Project, stale
from shared.errors import UserError

COUNT = re.compile(r"(\d+) (passed|failed|error|errors)\b")
NOT_THERE = "no está / not there"


@dataclass(frozen=True)
class Outcome:
    """What a check came to.

    Attributes:
        share: The part of the criterion's points, 0 to 1.
        reason: One line.
        detail: What was printed or found, for whom it concerns.
        data: For the report, as JSON values.
    """

    share: float
    reason: str
    detail: str = ""
    data: Any = None


@dataclass(frozen=True)
class Context:
    """What the checks of one project need.

    Attributes:
        project: That is graded.
        limits: What each child may use.
        commit: Whose tests are run.
        scratch: An empty folder.
        references: External solutions, those of the rubric; a project.toml may name more.
        memo: What two checks share, by name.
    """

    project: Project
    limits: Limits
    commit: str
    scratch: Path
    references: tuple[str, ...] = ()
    memo: dict[str, Any] = field(default_factory=dict)


def assess(context: Context) -> dict[str, Outcome]:
    """Every check's outcome by its criterion. A check that fails itself gives 0 and says so."""
    outcomes = {}
    for name, check in CHECKS.items():
        try:
            outcomes[name] = check(context)
        except UserError as error:
            outcomes[name] = Outcome(0.0, str(error))
        except Exception as error:  # whatever a submission provokes, the rest is graded
            outcomes[name] = Outcome(0.0, f"the check itself failed: {type(error).__name__}: {error}")
    return outcomes


# ---------------------------------------------------------------- project


def sandbox(context: Context) -> pristine.Sandbox:
    """The project's pristine copy, made once."""
    if "sandbox" not in context.memo:
        folder = Path(tempfile.mkdtemp(dir=context.scratch))
        context.memo["sandbox"] = pristine.prepare(context.project.root, folder, context.commit)
    return context.memo["sandbox"]


def tests(context: Context) -> Outcome:
    """The share of the project's tests that pass; the exercises' have a line of their own."""
    folder = f"tests/{context.project.name}"
    return run_pytest(context, folder, [f"--ignore={folder}/test_exercises.py"])


def exercises(context: Context) -> Outcome:
    """exercises.md, and the tests that ask for answers."""
    if not (context.project.folder / "exercises.md").is_file():
        return Outcome(0.0, f"exercises.md: {NOT_THERE}")
    return run_pytest(context, f"tests/{context.project.name}/test_exercises.py", [])


def run_pytest(context: Context, target: str, options: list[str]) -> Outcome:
    """Run tests from the pristine copy."""
    box = sandbox(context)
    if not (box.folder / target).exists():
        return Outcome(0.0, f"{target}: {NOT_THERE} ({box.commit})")
    command = [sys.executable, "-m", "pytest", target, "-q", "-p", "no:cacheprovider", "--no-header", *options]
    ended = children.run(command, box.folder, context.limits)
    counts = {what.rstrip("s"): int(count) for count, what in COUNT.findall(ended.output[-300:])}
    passed, total = counts.get("passed", 0), sum(counts.values())
    edited = [path for path in box.edited if path.startswith((f"tests/{context.project.name}/", "tests/conftest"))]
    note = f"; edited and not used: {', '.join(edited)}" if edited else ""
    if ended.trouble:
        return Outcome(0.0, ended.trouble + note, ended.output)
    if ended.code == 0 and total:
        return Outcome(1.0, f"{passed} passed, tests of commit {box.commit}, {ended.seconds:.0f} s{note}", ended.output)
    if ended.code == 1 and total:
        return Outcome(passed / total, f"{passed} of {total} passed, tests of commit {box.commit}{note}", ended.output)
    return Outcome(0.0, f"pytest ended with {ended.code}, no test counted{note}", ended.output)


def notebook_age(context: Context) -> Outcome:
    """Whether the notebook was executed from the sources and results that are there now."""
    from shared.course import notebook

    changed = notebook.outdated(context.project)
    if changed is None:
        return Outcome(0.0, f"results/notebook.ipynb: {NOT_THERE}; make notebook-{context.project.name}")
    if changed:
        return Outcome(0.0, f"changed since it was executed: {', '.join(changed)}")
    return Outcome(1.0, "executed from the present source and results")


def notebook_numbers(context: Context) -> Outcome:
    """A fresh execution, in a child, against the committed numbers."""
    command = [sys.executable, "-m", "shared.course", "notebook", context.project.name, "--check"]
    ended = children.run(command, context.project.root, context.limits)
    lines = ended.output.strip().splitlines() or [""]
    return Outcome(float(ended.code == 0), ended.trouble or lines[-1], ended.output)


def fingerprints(context: Context) -> Outcome:
    """Whether every checkpoint, log and sealed table of the project is as it was saved, and by whom."""
    name = context.project.name
    if not (context.project.root / "runs" / name).is_dir():
        return Outcome(0.0, f"runs/{name}: {NOT_THERE}; make run-{name}")
    sealed = [f"projects/{name}/results"] if list(context.project.results.glob("*.seal.json")) else []
    command = [sys.executable, "-m", "shared.course.grading.fingerprints", f"runs/{name}", *sealed]
    ended = children.run(command, context.project.root, context.limits, with_key=True)
    try:
        said = json.loads(ended.output.strip().splitlines()[-1])
        found = said.get("findings", [])
    except (ValueError, IndexError, AttributeError):
        return Outcome(0.0, ended.trouble or f"the verifier ended with {ended.code}", ended.output)
    bad = [each for each in found if not each["unchanged"]]
    if bad or not found:
        reason = f"{bad[0]['path']}: {bad[0]['verdict']}, {bad[0]['detail']}" if bad else said.get("error", "nothing")
        return Outcome(0.0, f"{reason} ({len(bad)} of {len(found)} not intact)", data=found)
    if any(each["verdict"] != "OK" for each in found):
        reason = f"{len(found)} intact, but sealed with the demo key: they bind to no team"
        return Outcome(context.limits.demo_key_share, reason, data=found)
    return Outcome(1.0, f"{len(found)} intact and bound to the team", data=found)


def originality(context: Context) -> Outcome:
    """What the trusted tests/check_originality.py says of the code: 0 original, 1 suspicious, else unknown."""
    box = sandbox(context)
    if not (box.folder / "tests" / "check_originality.py").is_file():
        return Outcome(0.0, f"tests/check_originality.py: {NOT_THERE} ({box.commit})")
    own = read_toml(context.project, "project.toml")[0].get("originality", [])
    wanted = dict.fromkeys([*context.references, *own])
    known = [str(path) for name in wanted if (path := installed(name)) is not None]
    if not known:
        return Outcome(0.0, "none of the rubric's external solutions is installed")
    words = ["--submission", f"projects/{context.project.name}", "--reference", *known]
    ended = children.run([sys.executable, "tests/check_originality.py", *words], box.folder, context.limits)
    if ended.trouble:
        return Outcome(0.0, ended.trouble, ended.output)
    lines = ended.output.strip().splitlines() or [""]
    reasons = {0: f"{lines[0]}, compared with {len(known)} external solutions", 1: lines[0]}
    reason = reasons.get(ended.code or 0, f"could not be judged (exit code {ended.code}): {lines[-1]}")
    return Outcome(float(ended.code == 0), reason, ended.output)


def installed(name: str) -> Path | None:
    """Where a part of an installed package is, or None; nothing is imported.

    Args:
        name: "package" or "package/part".
    """
    package, _, part = name.partition("/")
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((folder / part for folder in folders if (folder / part).exists()), None)


def readme_numbers(context: Context) -> Outcome:
    """The share of the README's measurements that are found in results/."""
    entries = provenance.report(context.project)
    counted = [each for each in entries if each["status"] != "constant"]
    traced = [each for each in counted if each["status"] == "traced"]
    if not counted:
        return Outcome(0.0, "README.md states no measurement", data=entries)
    lost = ", ".join(f"{each['number']} (line {each['line']})" for each in counted if each["status"] == "untraced")
    reason = f"{len(traced)} of {len(counted)} found in results/" + (f"; not found: {lost}" if lost else "")
    return Outcome(len(traced) / len(counted), reason, data=entries)


# ---------------------------------------------------------------- presentation


def film_length(edition: str) -> Callable[[Context], Outcome]:
    """A check of one edition's file: readable, and as long as the course asks for."""

    def check(context: Context) -> Outcome:
        from shared.course.film import encoding, film

        path = context.project.build / f"{edition}.mp4"
        if not path.is_file():
            where = path.relative_to(context.project.root)
            return Outcome(0.0, f"{where}: {NOT_THERE}; make demo-{context.project.name}")
        found = encoding.probe(path)
        least, most = film.LENGTHS[edition]  # type: ignore[index]
        reason = f"{found.seconds:.0f} s, {least} to {most} are asked for; {found.size / 1e6:.1f} MB"
        return Outcome(float(least <= found.seconds <= most), reason)

    return check


def chapters(context: Context) -> Outcome:
    """The chapter markers in the file."""
    from shared.course.film import encoding, screenplay

    found = len(encoding.probe(context.project.build / "demo.mp4").chapters)
    wanted = len(screenplay.CHAPTERS)
    return Outcome(min(found, wanted) / wanted, f"{found} of {wanted} chapter markers")


def captions(context: Context) -> Outcome:
    """Caption files in both languages whose last cue ends with the film."""
    from shared.course.film import encoding, film, screenplay

    length = encoding.probe(context.project.build / "demo.mp4").seconds
    good = []
    for language in screenplay.LANGUAGES:
        path = film.captions(context.project, "demo", language, "srt")
        clocks = re.findall(r"--> (\d+):(\d+):(\d+),", path.read_text(encoding="utf-8")) if path.is_file() else []
        if clocks:
            hours, minutes, seconds = map(int, clocks[-1])
            good += [language] if abs(3600 * hours + 60 * minutes + seconds - length) < 5 else []
    share = len(good) / len(screenplay.LANGUAGES)
    return Outcome(share, f"captions to the film's end in: {', '.join(good) or 'no language'}")


def film_age(context: Context) -> Outcome:
    """Whether the film was made from the demo.toml and results that are there now."""
    from shared.course.film import film

    made = film.receipt(context.project)
    if made is None:
        return Outcome(0.0, f"film.json: {NOT_THERE}; make demo-{context.project.name}")
    changed = stale(context.project, made["sources"])
    if changed:
        return Outcome(0.0, f"changed since it was made: {', '.join(changed)}")
    return Outcome(1.0, "made from the present screenplay and results")


CHECKS: dict[str, Callable[[Context], Outcome]] = {
    "film": film_length("demo"),
    "trailer": film_length("trailer"),
    "chapters": chapters,
    "captions": captions,
    "film_age": film_age,
    "tests": tests,
    "notebook_age": notebook_age,
    "notebook": notebook_numbers,
    "fingerprints": fingerprints,
    "originality": originality,
    "exercises": exercises,
    "provenance": readme_numbers,
}
