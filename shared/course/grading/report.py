"""`make grade`: results.json for Gradescope, a Markdown report, and one HTML page of all that was graded.

Written to build/grade/<project>/{results.json, report.md, provenance.json} and build/grade/report.html.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from shared.course.grading import checks, rubric
from shared.course.grading.checks import Context, Outcome
from shared.course.grading.rubric import Criterion, Rubric
from shared.course.pages import both, esc, page
from shared.course.project import Project
from shared.files import write_json, write_text
from shared.progress import table

SCHEMA = Path(__file__).parent / "schema.json"
DETAIL = 6_000  # characters of a check's output on the page


@dataclass(frozen=True)
class Graded:
    """A project's outcomes by criterion, and the seconds they took."""

    project: Project
    outcomes: dict[str, Outcome]
    seconds: float


def main(projects: list[Project], *, pristine: str = "HEAD", rules: Rubric | None = None) -> list[Graded]:
    """Grade projects one after the other, whatever each does, and write the reports."""
    rules = rules or rubric.load()
    graded = [grade(project, rules, pristine) for project in projects]
    for each in graded:
        write(each, rules)
    write_text(projects[0].root / "build" / "grade" / "report.html", html_page(graded, rules))
    for each in graded:
        show(each, rules)
    return graded


def grade(project: Project, rules: Rubric, pristine: str) -> Graded:
    """One project's outcomes; if grading itself breaks, every line says so and has no points."""
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
            outcomes = checks.assess(Context(project, rules.limits, pristine, Path(scratch), rules.references))
    except Exception as error:  # the other projects are graded all the same
        broken = Outcome(0.0, f"grading broke: {type(error).__name__}: {error}")
        outcomes = dict.fromkeys(checks.CHECKS, broken)
    return Graded(project, outcomes, time.monotonic() - started)


def points(criterion: Criterion, graded: Graded) -> float:
    """Points of a machine's criterion, to two decimals."""
    return round(criterion.points * graded.outcomes[criterion.id].share, 2)


def totals(graded: Graded, rules: Rubric) -> tuple[float, float, float]:
    """(points reached, points that the machine judges, points open for a person)."""
    machine = [each for each in rules.criteria if each.judge == "machine"]
    reached = round(sum(points(each, graded) for each in machine), 2)
    return (
        reached,
        sum(each.points for each in machine),
        sum(each.points for each in rules.criteria if each.judge == "person"),
    )


def gradescope(graded: Graded, rules: Rubric) -> dict[str, Any]:
    """results.json as Gradescope reads it; lines that a person judges carry no score.

    Raises:
        jsonschema.ValidationError: If it is not what the format allows; that would be our mistake.
    """
    reached, possible, left = totals(graded, rules)
    tests = []
    for number, criterion in enumerate(rules.criteria, start=1):
        line: dict[str, Any] = {"name": f"{criterion.title['es']} / {criterion.title['en']}", "number": str(number)}
        line |= {"tags": [criterion.group, criterion.judge], "visibility": "visible"}
        if criterion.judge == "person":
            line["output"] = f"Lo completa una persona / a person fills this in: ____ / {criterion.points:g}"
            line["extra_data"] = {"points": criterion.points}
        else:
            outcome = graded.outcomes[criterion.id]
            line |= {"score": points(criterion, graded), "max_score": criterion.points, "output": outcome.reason}
            line["status"] = "passed" if outcome.share == 1 else "failed"
        tests.append(line)
    output = f"{reached:g} / {possible:g} por la máquina / by the machine; {left:g} las da una persona / by a person."
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
        {name: {"share": each.share, "reason": each.reason} for name, each in graded.outcomes.items()},
    )


def markdown(graded: Graded, rules: Rubric) -> str:
    """The report as Markdown, a table for each group."""
    reached, possible, left = totals(graded, rules)
    lines = [f"# {graded.project.name}: {reached:g} / {possible:g}", ""]
    lines += [f"Una persona da otros {left:g} puntos / a person gives another {left:g} points.", ""]
    for name, group in rules.groups.items():
        lines += [f"## {group['title']['es']}: {group['points']} puntos", ""]
        lines += ["| criterio | puntos | motivo |", "|---|---|---|"]
        for each in (c for c in rules.criteria if c.group == name):
            if each.judge == "person":
                lines.append(f"| {each.title['es']} | ____ / {each.points:g} | lo completa una persona: __________ |")
            else:
                reason = graded.outcomes[each.id].reason.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
                lines.append(f"| {each.title['es']} | {points(each, graded):g} / {each.points:g} | {reason} |")
        lines.append("")
    return "\n".join(lines)


def html_page(all_graded: list[Graded], rules: Rubric) -> str:
    """One self-contained page: a card a project, each check's output and the README's numbers folded away."""
    body = "".join(_card(graded, rules) for graded in all_graded)
    lead = (
        "12 puntos de presentación y 8 de proyecto. Lo que una máquina puede comprobar lleva su motivo; lo demás queda "
        "abierto para quien califica.",
        "12 points of presentation and 8 of project. What a machine can check comes with its reason; the rest stays "
        "open for the grader.",
    )
    return page(("Calificación", "Grades"), lead, body)


def _card(graded: Graded, rules: Rubric) -> str:
    reached, possible, left = totals(graded, rules)
    rows = ""
    for name, group in rules.groups.items():
        title = both(f"{group['title']['es']}: {group['points']}", f"{group['title']['en']}: {group['points']}")
        rows += f'<tr><th class="group" colspan="3">{title}</th></tr>'
        rows += "".join(_row(each, graded) for each in rules.criteria if each.group == name)
    head = f"<tr><th>{both('criterio', 'criterion')}</th><th>{both('puntos', 'points')}</th>"
    head += f"<th>{both('motivo', 'reason')}</th></tr>"
    score = both(
        f"{reached:g} de {possible:g} por la máquina; {left:g} los da una persona",
        f"{reached:g} of {possible:g} by the machine; a person gives {left:g}",
    )
    return (
        f'<section class="card"><h2>{esc(graded.project.name)}</h2><p>{score}</p>'
        f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
        f"{_provenance(graded.outcomes['provenance'].data or [])}</section>"
    )


def _row(criterion: Criterion, graded: Graded) -> str:
    title = both(criterion.title["es"], criterion.title["en"])
    if criterion.judge == "person":
        fill = both("lo completa una persona: ____________", "a person fills this in: ____________")
        score = f'<span class="tag open">___ / {criterion.points:g}</span>'
        return f'<tr><td>{title}</td><td class="points">{score}</td><td>{fill}</td></tr>'
    outcome = graded.outcomes[criterion.id]
    kind = "good" if outcome.share == 1 else "bad" if outcome.share == 0 else "open"
    score = f'<span class="tag {kind}">{points(criterion, graded):g} / {criterion.points:g}</span>'
    detail = ""
    if outcome.detail.strip():
        shown = esc(outcome.detail.strip()[-DETAIL:])
        detail = f"<details><summary>{both('salida', 'output')}</summary><pre><code>{shown}</code></pre></details>"
    return f'<tr><td>{title}</td><td class="points">{score}</td><td>{esc(outcome.reason)}{detail}</td></tr>'


def _provenance(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return ""
    rows = "".join(_number_row(each) for each in entries if each["status"] != "constant")
    constants = sum(each["status"] == "constant" for each in entries)
    titles = both("De dónde sale cada número del README", "Where each number of the README comes from")
    note = both(
        f"{constants} números pequeños o años no se cuentan como medidas.",
        f"{constants} small whole numbers or years are not counted as measurements.",
    )
    names = (("número", "number"), ("línea", "line"), ("fuente", "source"), ("recalculado", "recomputed"))
    head = "".join(f"<th>{both(*name)}</th>" for name in (*names, ("ejecuciones", "runs")))
    return (
        f"<details><summary>{titles}</summary><p>{note}</p>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _number_row(entry: dict[str, Any]) -> str:
    source, again = entry.get("source"), entry.get("recomputed")
    where = f"{source['file']} · {source['row']} · {source['column']} = {source['value']:.8g}" if source else "—"
    value = f"{again['function']} ({again['of']}) = {again['value']:.8g}" if again else "—"
    runs = "; ".join(_run_words(run) for run in entry.get("runs", ())) or "—"
    kind = "good" if source else "bad"
    number = f'<span class="tag {kind}">{esc(entry["number"])}</span>'
    cells = (number, esc(entry["line"]), esc(where), esc(value), esc(runs))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _run_words(run: dict[str, Any]) -> str:
    if not run["here"] and "log_line" not in run:
        return f"{run['run']} (no está aquí / not here)"
    commit = (run["commit"] or "?")[:10]
    log = "metrics.jsonl" if run["here"] else "the log kept in results/logs"
    return f"{run['run']}: {log}:{run['log_line']}, {len(run['manifests'])} manifest(s), commit {commit}"


def show(graded: Graded, rules: Rubric) -> None:
    """Print a project's lines and where the reports are."""
    reached, possible, left = totals(graded, rules)
    rows = []
    for each in rules.criteria:
        person = each.judge == "person"
        score = f"__ / {each.points:g}" if person else f"{points(each, graded):g} / {each.points:g}"
        rows.append((each.id, score, "a person fills this in" if person else graded.outcomes[each.id].reason))
    where = graded.project.graded.relative_to(graded.project.root)
    title = f"{graded.project.name}: {reached:g} of {possible:g}, {left:g} more by a person ({where}/report.md)"
    table(title, ["criterion", "points", "reason"], rows)
