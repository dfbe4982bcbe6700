"""The machine's part of the rubric: one function a criterion, each a share from 0 to 1 with its reason.

A check may find nothing (0, with what to run), find something wrong, or fail itself; none of these stops the others.
The film's checks are in films.py, that of the runs in signatures.py.
"""

import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.course.film.screenplay import read_toml
from shared.course.grading import children, films, pristine, provenance, signatures
from shared.course.grading.outcomes import Context, Kept, Outcome, Said, not_there, too_slow
from shared.errors import UserError

LEAST_NUMBERS = 10  # of a notebook, and of a README, that show a project's results
PAIRS = re.compile(r"(\d+) of (\d+) pairs of files at or above evidence ([\d.]+)")
WORKERS = ("-n", "2", "--dist", "loadfile")  # as make test does: eight projects are graded in a quarter of an hour


def assess(context: Context, kept: Kept | None = None) -> dict[str, Outcome]:
    """Every check's outcome by its criterion. A check that fails itself gives 0 and says so.

    Args:
        context: What is graded.
        kept: The outcomes of a grading of the same state that was interrupted; each new one goes in.
    """
    kept = kept if kept is not None else Kept()
    for number, (name, check) in enumerate(CHECKS.items(), start=1):
        if name in kept.outcomes:
            continue
        sys.stderr.write(f"{context.project.name}: {number}/{len(CHECKS)} {name}\n")
        try:
            outcome = check(context)
        except UserError as error:
            outcome = Outcome(0.0, str(error))
        except Exception as error:  # whatever a submission provokes, the rest is graded
            outcome = Outcome(0.0, f"the check itself failed: {type(error).__name__}: {error}")
        kept.add(name, outcome)
    return {name: kept.outcomes[name] for name in CHECKS}


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
    return run_pytest(context, folder, [f"--ignore={folder}/test_exercises.py", *WORKERS])


def exercises(context: Context) -> Outcome:
    """exercises.md, and the tests that ask for answers."""
    if not (context.project.folder / "exercises.md").is_file():
        return Outcome(0.0, not_there("exercises.md"))
    return run_pytest(context, f"tests/{context.project.name}/test_exercises.py", [])


def run_pytest(context: Context, target: str, options: list[str]) -> Outcome:
    """Run tests from the pristine copy."""
    box = sandbox(context)
    if not (box.folder / target).exists():
        return Outcome(0.0, not_there(f"{target} ({box.commit})"))
    ended, counts = counted(box.folder, target, ["-p", "no:cacheprovider", *options], context)
    passed, total = counts["passed"], counts["passed"] + counts["failed"]
    edited = [path for path in box.edited if path.startswith((f"tests/{context.project.name}/", "tests/conftest"))]
    note = _edited(", ".join(edited))
    if ended.code is None:
        return too_slow(ended.seconds, ended.output)
    if ended.trouble:
        return Outcome(0.0, ended.trouble + note, ended.output)
    where = Said(f"tests of commit {box.commit}", f"pruebas del commit {box.commit}")
    if ended.code == 0 and passed == total > 0:
        told = Said(
            f"{passed} passed, {where}, {ended.seconds:.0f} s", f"{passed} pasan, {where.es}, {ended.seconds:.0f} s"
        )
        return Outcome(1.0, told + note, ended.output)
    if ended.code == 1 and total:
        names = ", ".join(name.rpartition("::")[2] or name for name in counts["names"])
        told = Said(
            f"{passed} of {total} passed, {where}; not: {names}", f"pasan {passed} de {total}, {where.es}; no: {names}"
        )
        return Outcome(passed / total, told + note, ended.output)
    told = Said(f"pytest ended with {ended.code}, no test counted", f"pytest acabó con {ended.code}; no cuenta ninguna")
    return Outcome(0.0, told + note, ended.output)


def counted(folder: Path, target: str, options: list[str], context: Context) -> tuple[children.Ended, dict[str, Any]]:
    """Run tests in a worker of a process that counts them; nothing that they print is believed."""
    reading, writing = os.pipe()
    try:
        words = [str(Path(__file__).with_name("counted.py")), str(writing), str(folder), target, *options]
        found = ["env", f"PYTHONPATH={folder}"]  # there are projects/, shared/ and tests/, and no name of a library
        ended = children.run([*found, sys.executable, "-P", *words], folder, context.limits, pipe=writing)
        os.close(writing)
        said = os.read(reading, 4096)
    finally:
        os.close(reading)
    try:
        counts = json.loads(said)
    except ValueError:
        counts = {}
    return ended, counts if counts.get("code", -1) == ended.code else {"passed": 0, "failed": 0}


def _edited(names: str) -> Said:
    return Said(f"; edited and not used: {names}", f"; editadas, y no se usan: {names}") if names else Said("", "")


def notebook_age(context: Context) -> Outcome:
    """Whether the notebook was executed from the sources and results that are there now."""
    from shared.course import notebook

    changed = notebook.outdated(context.project)
    if changed is None:
        return Outcome(0.0, not_there("results/notebook.ipynb", f"make notebook-{context.project.name}"))
    if changed:
        names = ", ".join(changed)
        return Outcome(0.0, Said(f"changed since it was executed: {names}", f"cambió desde que se ejecutó: {names}"))
    told = ("executed from the present source and results", "ejecutado con el código y los resultados actuales")
    return Outcome(1.0, Said(*told))


def notebook_numbers(context: Context) -> Outcome:
    """A fresh execution, in a child, against the committed numbers."""
    command = [sys.executable, "-m", "shared.course", "notebook", context.project.name, "--check", "--lang", "en"]
    ended = children.run(command, context.project.root, context.limits)
    if ended.code is None:
        return too_slow(ended.seconds, ended.output)
    lines = ended.output.strip().splitlines() or [""]
    same = re.match(r"(\d+) numbers agree", lines[-1])
    told = Said(lines[-1], f"{same[1]} números coinciden con el cuaderno guardado" if same else lines[-1])
    if ended.code == 0 and (same is None or int(same[1]) < LEAST_NUMBERS):
        few = (f"; {LEAST_NUMBERS} at least are asked for", f"; se piden al menos {LEAST_NUMBERS}")
        return Outcome(0.0, told + Said(*few), ended.output)
    return Outcome(float(ended.code == 0), ended.trouble or told, ended.output)


def originality(context: Context) -> Outcome:
    """What the trusted tests/check_originality.py says of the code: 0 original, 1 suspicious, else unknown."""
    box = sandbox(context)
    if not (box.folder / "tests" / "check_originality.py").is_file():
        return Outcome(0.0, not_there(f"tests/check_originality.py ({box.commit})"))
    own = read_toml(context.project, "project.toml")[0].get("originality", [])
    wanted = dict.fromkeys([*context.references, *own])
    known = [str(path) for name in wanted if (path := installed(name)) is not None]
    if not known:
        none = (
            "none of the rubric's external solutions is installed",
            "ninguna de las soluciones externas está instalada",
        )
        return Outcome(0.0, Said(*none))
    words = ["--submission", f"projects/{context.project.name}", "--reference", *known]
    ended = children.run([sys.executable, "tests/check_originality.py", *words], box.folder, context.limits)
    if ended.code is None:
        return too_slow(ended.seconds, ended.output)
    if ended.trouble:
        return Outcome(0.0, ended.trouble, ended.output)
    lines = ended.output.strip().splitlines() or [""]
    if ended.code not in (0, 1):
        told = f"(exit code {ended.code}): {lines[-1]}"
        return Outcome(0.0, Said(f"could not be judged {told}", f"no se pudo juzgar {told}"), ended.output)
    pairs = PAIRS.match(lines[0])
    told = Said(
        lines[0], "{} de {} pares de ficheros con indicios de {} o más".format(*pairs.groups()) if pairs else lines[0]
    )
    compared = (f", compared with {len(known)} external solutions", f", comparado con {len(known)} soluciones externas")
    return Outcome(float(ended.code == 0), told + Said(*compared), ended.output)


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
    """The share of the README's measurements that logs give; what is only sealed counts neither way."""
    citations = provenance.read_citations(context.project, context.limits, context.scratch)
    entries = provenance.report(context.project, citations)
    traced, sealed, missing = (
        [each for each in entries if each["status"] == status] for status in ("traced", "sealed", "untraced")
    )
    if not traced:
        none = ("README.md states no number that a log gives", "README.md no da ningún número que salga de un registro")
        return Outcome(0.0, Said(*none), data=entries)
    told = Said(
        f"{len(traced)} recomputed from logs, {len(sealed)} only sealed (not counted), {len(missing)} not found",
        f"{len(traced)} recalculados de los registros, {len(sealed)} sólo sellados (no cuentan), "
        f"{len(missing)} no están",
    )
    if missing:
        told += Said(
            *(": " + ", ".join(f"{e['number']} ({line} {e['line']})" for e in missing) for line in ("line", "línea"))
        )
    enough = min(1.0, len(traced) / LEAST_NUMBERS)
    return Outcome(enough * len(traced) / (len(traced) + len(missing)), told, data=entries)


CHECKS: dict[str, Callable[[Context], Outcome]] = {
    "film": films.length("demo"),
    "trailer": films.length("trailer"),
    "chapters": films.chapters,
    "captions": films.captions,
    "film_age": films.age,
    "tests": tests,
    "notebook_age": notebook_age,
    "notebook": notebook_numbers,
    "fingerprints": signatures.check,
    "originality": originality,
    "exercises": exercises,
    "provenance": readme_numbers,
}
