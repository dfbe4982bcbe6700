"""The grade as one self-contained HTML page: totals, then a card a project, in Spanish or English."""

from typing import Any

from shared.course.grading.outcomes import spanish
from shared.course.grading.rubric import Criterion, Rubric
from shared.course.grading.score import Graded, points, totals
from shared.course.pages import both, esc, page, scrollable

DETAIL = 6_000  # characters of a check's output on the page
ROWS = ("criterio", "criterion"), ("puntos", "points"), ("motivo", "reason")


def html_page(all_graded: list[Graded], rules: Rubric) -> str:
    """One self-contained page: a card a project, each check's output and the README's numbers folded away."""
    lead = (
        "12 puntos de presentación y 8 de proyecto. Lo que una máquina puede comprobar lleva su motivo; lo demás queda "
        "abierto para quien califica.",
        "12 points of presentation and 8 of project. What a machine can check comes with its reason; the rest stays "
        "open for the grader.",
    )
    body = _summary(all_graded, rules) + "".join(_card(graded, rules) for graded in all_graded)
    return page(("Calificación", "Grades"), lead, body)


def _summary(all_graded: list[Graded], rules: Rubric) -> str:
    """A line a project, highest first, and the mean."""
    names = (("proyecto", "project"), ("por la máquina", "by the machine"), ("por una persona", "by a person"))
    rows, reached_by_all = "", []
    for graded in all_graded:
        reached, possible, left = totals(graded, rules)
        reached_by_all.append(reached)
        name = f'<a href="#{esc(graded.project.name)}">{esc(graded.project.name)}</a>'
        rows += _cells(names, (name, f"{reached:g} / {possible:g}", f"___ / {left:g}"))
    mean = f"{sum(reached_by_all) / len(all_graded):.2f}"
    rows += _cells(names, (f"<strong>{both('media', 'mean')}</strong>", f"<strong>{mean}</strong>", ""))
    return f'<section class="card"><h2>{both("Totales", "Totals")}</h2>{_table(names, rows)}</section>'


def _table(names: tuple[tuple[str, str], ...], rows: str) -> str:
    head = "".join(f'<th scope="col">{both(*name)}</th>' for name in names)
    return f'<table class="stack"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _cells(names: tuple[tuple[str, str], ...], cells: tuple[str, ...]) -> str:
    """A row; on a narrow screen each cell stands on a line of its own, after its column's name."""
    shown = zip(names, cells, strict=True)
    return "<tr>" + "".join(f'<td><span class="name">{both(*name)}</span>{cell}</td>' for name, cell in shown) + "</tr>"


def _card(graded: Graded, rules: Rubric) -> str:
    reached, possible, left = totals(graded, rules)
    rows = ""
    for name, group in rules.groups.items():
        title = both(f"{group['title']['es']}: {group['points']}", f"{group['title']['en']}: {group['points']}")
        rows += f'<tr><th class="group" scope="colgroup" colspan="3">{title}</th></tr>'
        rows += "".join(_row(each, graded) for each in rules.criteria if each.group == name)
    score = both(
        f"{reached:g} de {possible:g} por la máquina; {left:g} los da una persona",
        f"{reached:g} of {possible:g} by the machine; a person gives {left:g}",
    )
    name = esc(graded.project.name)
    return (
        f'<section class="card" id="{name}"><h2>{name}</h2><p>{score}</p>{_table(ROWS, rows)}'
        f"{_provenance(graded.outcomes['provenance'].data or [])}</section>"
    )


def _row(criterion: Criterion, graded: Graded) -> str:
    title = both(criterion.title["es"], criterion.title["en"])
    if criterion.judge == "person":
        fill = both("lo completa una persona: ____________", "a person fills this in: ____________")
        return _cells(ROWS, (title, f'<span class="tag open">___ / {criterion.points:g}</span>', fill))
    outcome = graded.outcomes[criterion.id]
    kind = "open" if not outcome.judged else "good" if outcome.share == 1 else "bad" if outcome.share == 0 else "open"
    reached = f"{points(criterion, graded):g}" if outcome.judged else "___"
    score = f'<span class="tag {kind}">{reached} / {criterion.points:g}</span>'
    detail = ""
    if outcome.detail.strip():
        shown = scrollable("pre", f"<code>{esc(outcome.detail.strip()[-DETAIL:])}</code>", ("salida", "output"))
        detail = f"<details><summary>{both('salida', 'output')}</summary>{shown}</details>"
    return _cells(ROWS, (title, score, both(spanish(outcome.reason), outcome.reason) + detail))


def _provenance(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return ""
    rows = "".join(_number_row(each) for each in entries if each["status"] != "constant")
    constants = sum(each["status"] == "constant" for each in entries)
    title = ("De dónde sale cada número del README", "Where each number of the README comes from")
    note = both(
        f"{constants} números pequeños o años no se cuentan como medidas.",
        f"{constants} small whole numbers or years are not counted as measurements.",
    )
    names = (("número", "number"), ("línea", "line"), ("fuente", "source"), ("recalculado de", "recomputed from"))
    head = "".join(f'<th scope="col">{both(*name)}</th>' for name in names)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<details><summary>{both(*title)}</summary><p>{note}</p>{scrollable('div', table, title)}</details>"


def _number_row(entry: dict[str, Any]) -> str:
    source = entry.get("source")
    where = f"{source['file']} · {source['row']} · {source['column']} = {source['value']:.8g}" if source else "—"
    logs = "; ".join(map(_citation, entry.get("cited", ())))
    kind = {"traced": "good", "sealed": "open"}.get(entry["status"], "bad")
    number = f'<span class="tag {kind}">{esc(entry["number"])}</span>'
    cells = (number, esc(entry["line"]), esc(where), logs or both("ningún registro", "no log"))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _citation(cited: dict[str, Any]) -> str:
    said = f"{esc(cited['function'])}({esc(cited['of'])})"
    lines, logs = cited["lines"], ", ".join(map(esc, cited["logs"]))
    return f"{said}, {both(f'{lines} líneas de', f'{lines} lines of')} {logs}"
