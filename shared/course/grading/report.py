"""`make grade`: results.json for Gradescope, a Markdown report, and one HTML page of all that was graded.

Written to build/grade/<project>/{results.json, report.md, provenance.json} and build/grade/report.html.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jsonschema

from shared.course.grading import checks, preparing, rubric
from shared.course.grading.outcomes import Context, Kept, Outcome, resumed, spanish
from shared.course.grading.rubric import Criterion, Rubric
from shared.course.grading.score import Graded, is_judged, points, totals
from shared.course.grading.webpage import html_page
from shared.course.project import Project
from shared.files import write_json, write_text
from shared.language import Language
from shared.progress import table

SAID = {
    "en": {
        "heads": "criterion points reason",
        "person": "a person fills this in",
        "total": "{0:g} of {1:g}, {2:g} more by a person ({3})",
    },
    "es": {
        "heads": "criterio puntos motivo",
        "person": "lo completa una persona",
        "total": "{0:g} de {1:g}, y {2:g} que da una persona ({3})",
    },
}
GOES_ON = {"en": "the same command goes on from here", "es": "la misma orden sigue desde aquí"}
SCHEMA = Path(__file__).parent / "schema.json"


def main(
    projects: list[Project],
    *,
    pristine: str = "HEAD",
    run_missing: bool = False,
    rules: Rubric | None = None,
    language: Language = "en",
) -> list[Graded]:
    """Grade projects one after the other, whatever each does, and write the reports.

    Args:
        projects: At least one.
        pristine: Commit whose tests are run.
        run_missing: Make the main run of a project that has none.
        rules: The rubric, if not the course's.
        language: What is printed is in it; the files have both, or Spanish.
    """
    rules = rules or rubric.load()
    preparing.announce(projects, run_missing, language)
    graded, kept = [], []
    try:
        for project in projects:
            preparing.run(project, rules.limits, run_missing)
            kept.append(resumed(project, pristine, rules.limits))
            graded.append(grade(project, rules, pristine, kept[-1]))
            write(graded[-1], rules)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(GOES_ON[language])
        raise
    graded.sort(key=lambda each: (-totals(each, rules)[0], each.project.name))
    write_text(projects[0].root / "build" / "grade" / "report.html", html_page(graded, rules))
    for each in graded:
        show(each, rules, language)
    for unfinished in kept:
        unfinished.forget()
    return graded


def grade(project: Project, rules: Rubric, pristine: str, kept: Kept | None = None) -> Graded:
    """One project's outcomes; if grading itself breaks, every line says so and has no points."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
            outcomes = checks.assess(Context(project, rules.limits, pristine, Path(scratch), rules.references), kept)
    except Exception as error:  # the other projects are graded all the same
        broken = Outcome(0.0, f"grading broke: {type(error).__name__}: {error}")
        outcomes = dict.fromkeys(checks.CHECKS, broken)
    return Graded(project, outcomes, time.monotonic() - started)


def gradescope(graded: Graded, rules: Rubric) -> dict[str, Any]:
    """results.json as Gradescope reads it, in Spanish; lines that a person judges carry no score.

    Raises:
        jsonschema.ValidationError: If it is not what the format allows; that would be our mistake.
    """
    reached, possible, left = totals(graded, rules)
    tests = []
    for number, criterion in enumerate(rules.criteria, start=1):
        line: dict[str, Any] = {"name": criterion.title["es"], "number": str(number)}
        line |= {"tags": [criterion.group, criterion.judge], "visibility": "visible"}
        if criterion.judge == "person":
            line["output"] = f"Lo completa una persona: ____ / {criterion.points:g}"
            line["extra_data"] = {"points": criterion.points}
        else:
            outcome = graded.outcomes[criterion.id]
            line["output"] = spanish(outcome.reason)
            if outcome.judged:
                line |= {"score": points(criterion, graded), "max_score": criterion.points}
                line["status"] = "passed" if outcome.share == 1 else "failed"
        tests.append(line)
    output = f"{reached:g} / {possible:g} por la máquina; otros {left:g} los da una persona."
    results = {
        "score": reached,
        "execution_time": round(graded.seconds),
        "output": f"{graded.project.name}: {output}",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"project": graded.project.name, "machine_points": possible, "person_points": left},
    }
    jsonschema.validate(results, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return results


def write(graded: Graded, rules: Rubric) -> None:
    """A project's own files."""
    write_json(graded.project.graded / "results.json", gradescope(graded, rules))
    write_text(graded.project.graded / "report.md", markdown(graded, rules))
    write_json(graded.project.graded / "provenance.json", graded.outcomes["provenance"].data or [])
    write_json(
        graded.project.graded / "verdicts.json",
        {
            name: {"share": each.share, "reason": {"en": str(each.reason), "es": spanish(each.reason)}}
            for name, each in graded.outcomes.items()
        },
    )


def markdown(graded: Graded, rules: Rubric) -> str:
    """The report as Markdown, in Spanish, a table for each group."""
    reached, possible, left = totals(graded, rules)
    lines = [f"# {graded.project.name}: {reached:g} / {possible:g}", ""]
    lines += [f"Una persona da otros {left:g} puntos.", ""]
    for name, group in rules.groups.items():
        lines += [f"## {group['title']['es']}: {group['points']} puntos", ""]
        lines += ["| criterio | puntos | motivo |", "|---|---|---|"]
        for each in (c for c in rules.criteria if c.group == name):
            if each.judge == "person":
                lines.append(f"| {each.title['es']} | ____ / {each.points:g} | lo completa una persona: __________ |")
            else:
                reason = (
                    spanish(graded.outcomes[each.id].reason).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
                )
                lines.append(f"| {each.title['es']} | {written(each, graded)} | {reason} |")
        lines.append("")
    return "\n".join(lines)


def written(criterion: Criterion, graded: Graded) -> str:
    """Points as reached of possible; a blank where a person fills them in."""
    reached = f"{points(criterion, graded):g}" if is_judged(criterion, graded) else "__"
    return f"{reached} / {criterion.points:g}"


def show(graded: Graded, rules: Rubric, language: Language = "en") -> None:
    """Print a project's lines and where the reports are."""
    said = SAID[language]
    reached, possible, left = totals(graded, rules)
    rows = []
    for each in rules.criteria:
        person = each.judge == "person"
        score = written(each, graded)
        rows.append((each.title[language], score, said["person"] if person else reason_in(graded, each.id, language)))
    where = graded.project.graded.relative_to(graded.project.root)
    title = f"{graded.project.name}: " + said["total"].format(reached, possible, left, f"{where}/report.md")
    table(title, said["heads"].split(), rows)


def reason_in(graded: Graded, criterion: str, language: Language) -> str:
    """Why a criterion has its points."""
    reason = graded.outcomes[criterion].reason
    return spanish(reason) if language == "es" else str(reason)
