"""`make dashboard`: one static page with a card for each project, from results/, project.toml and the last grades.

It works from a file, on a phone, and without scripts; pictures are inside it, notebooks (as HTML) and films are linked.
project.toml says what a card shows:

    [card]
    question.es = "…"                           what the project asks, in a sentence
    metric.es = "Exactitud en prueba"           what the headline number is
    value = "{results:summary.csv?…}"           the number, its interval, and the baseline's
    interval = "± {results:…}"
    baseline = "{results:…}"
    baseline_name.es = "cabeza lineal"
    time.es = "{results:…} s de entrenamiento"  how long what is shown takes
    figure = "parameters_accuracy.png"
    shows.es = "una semilla de …"               what make run-lora shows; make results-lora makes the number
"""

import base64
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course import values
from shared.course.film.screenplay import LANGUAGES, read_toml
from shared.course.pages import both, esc, page
from shared.course.project import ROOT, Project, inside, names, read_json_or_none, spanish_figure
from shared.errors import UserError
from shared.files import write_text

BILINGUAL = ("question", "metric", "baseline_name", "time", "shows")
PLAIN = ("value", "interval", "baseline")
SHOWN = (("fingerprints", "huellas", "fingerprints"), ("originality", "originalidad", "originality"),
         ("tests", "pruebas", "tests"), ("notebook", "cuaderno", "notebook"),
         ("provenance", "números del README", "README numbers"))  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What a project's card says: `texts` by name and language, `plain` by name, numbers resolved."""

    title: dict[str, str]
    texts: dict[str, dict[str, str]]
    plain: dict[str, str]
    figure: Path


def build(root: Path = ROOT) -> Path:
    """Write build/dashboard/index.html; a project without a card is shown with the reason. Returns its path."""
    path = root / "build" / "dashboard" / "index.html"
    body = "".join(card_html(Project(name, root), path.parent) for name in names(root))
    lead = (
        "Una tarjeta por proyecto: qué pregunta, qué número da contra su referencia, y la orden que lo repite.",
        "A card a project: what it asks, its number against the baseline, and the command that repeats it.",
    )
    write_text(path, page(("Proyectos del curso", "Course projects"), lead, body))
    return path


def load(project: Project) -> Card:
    """A project's card.

    Raises:
        UserError: If project.toml has none, or a number cannot be resolved.
    """
    raw = read_toml(project, "project.toml")[0]
    where = f"projects/{project.name}/project.toml: [card]"
    card = raw.get("card")
    if not isinstance(card, dict):
        raise UserError(f"{where} is missing")
    missing = [name for name in (*BILINGUAL, *PLAIN, "figure") if not card.get(name)]
    if missing:
        raise UserError(f"{where}: {missing[0]} is missing")
    try:
        texts = {name: {each: _text(card[name][each], project) for each in LANGUAGES} for name in BILINGUAL}
        title = {each: _text(raw["title"][each], project) for each in LANGUAGES}
        plain = {name: _text(card[name], project) for name in PLAIN}
        return Card(title, texts, plain, inside(project.results, str(card["figure"])))
    except (KeyError, TypeError) as error:
        raise UserError(f"{where}: a text in {error} is missing") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _text(value: Any, project: Project) -> str:
    return values.resolve(" ".join(str(value).split()), project.results)


def card_html(project: Project, page_folder: Path) -> str:
    """One card; what cannot be shown says so, so that one project's mistake hides no other."""
    try:
        return _card(load(project), project, page_folder)
    except UserError as error:
        said = both(f"Sin tarjeta: {error}", f"No card: {error}")
        return f'<article class="card"><h2>{esc(project.name)}</h2><p class="tag bad">{said}</p></article>'


def _card(card: Card, project: Project, folder: Path) -> str:
    plain, texts = card.plain, card.texts
    headline = (
        f'<p class="headline"><strong>{esc(plain["value"])}</strong> <span>{esc(plain["interval"])}</span></p>'
        f'<p class="muted">{both(texts["metric"]["es"], texts["metric"]["en"])} · '
        f"{both('referencia', 'baseline')} ({both(texts['baseline_name']['es'], texts['baseline_name']['en'])}): "
        f"<strong>{esc(plain['baseline'])}</strong></p>"
    )
    makes, runs = (f"<code>make {verb}-{esc(project.name)}</code>" for verb in ("results", "run"))
    run = (
        f"<p>{both('El número lo hace', 'The number is made by')} {makes} · "
        f"{both(texts['time']['es'], texts['time']['en'])}</p>"
        f"<p>{runs} {both('enseña: ', 'shows: ')}{both(texts['shows']['es'], texts['shows']['en'])}</p>"
    )
    pictures = {"en": card.figure, "es": spanish_figure(card.figure)}
    name = f"figure-{esc(project.name)}"
    caption = both(texts["metric"]["es"], texts["metric"]["en"])
    shown = "".join(
        f'<img lang="{language}" src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"'
        f' aria-labelledby="{name}" loading="lazy">'
        for language, path in pictures.items()
    )
    figure = f'<figure>{shown}<figcaption class="muted" id="{name}">{caption}</figcaption></figure>'
    return (
        f'<article class="card" id="{esc(project.name)}"><h2>{both(card.title["es"], card.title["en"])}</h2>'
        f"<p>{both(texts['question']['es'], texts['question']['en'])}</p>"
        f'<div class="columns"><div>{headline}{run}{_verdicts(project)}{_links(project, folder)}</div>'
        f"<div>{figure}</div></div></article>"
    )


def _verdicts(project: Project) -> str:
    """What the last grade said, each verdict with its reason."""
    verdicts = read_json_or_none(project.graded / "verdicts.json")
    if verdicts is None:
        command = f"make grade-{project.name}"
        return f'<p><span class="tag open">{both("sin calificar", "not graded")}: {esc(command)}</span></p>'
    items = []
    for name, in_es, in_en in SHOWN:
        share, reason = (verdicts.get(name, {}).get(key) for key in ("share", "reason"))
        kind, mark = ("good", "✓") if share == 1 else ("bad", "✗") if not share else ("open", f"{share:.0%}")
        said = reason if isinstance(reason, dict) else {"es": reason or "", "en": reason or ""}
        told = both(said.get("es", ""), said.get("en", ""))
        items.append(f'<li><span class="tag {kind}">{mark} {both(in_es, in_en)}</span> {told}</li>')
    return f'<ul class="verdicts">{"".join(items)}</ul>'


def _links(project: Project, folder: Path) -> str:
    """The notebook, the film and its trailer, the grade; what was not built says the command that builds it."""
    wanted = (
        (notebook_page(project), ("cuaderno", "notebook"), "notebook"),
        (project.build / "demo.mp4", ("vídeo", "video"), "film"),
        (project.build / "trailer.mp4", ("tráiler", "trailer"), "film"),
        (project.root / "build" / "grade" / "report.html", ("calificación", "grade"), "grade"),
    )
    items = []
    for path, name, verb in wanted:
        if path.is_file() and (verb != "grade" or project.graded.is_dir()):
            anchor = f"#{project.name}" if verb == "grade" else ""
            items.append(f'<li><a href="{esc(os.path.relpath(path, folder))}{anchor}">{both(*name)}</a></li>')
        else:
            command = f"make {verb}-{project.name}"
            items.append(f'<li class="muted">{both(*name)}: <code>{esc(command)}</code></li>')
    return f"<ul>{''.join(items)}</ul>"


def notebook_page(project: Project) -> Path:
    """The notebook as HTML, made anew from the committed one where it is missing or older."""
    source, page_path = project.results / "notebook.ipynb", project.notebook_page
    if source.is_file() and (not page_path.is_file() or page_path.stat().st_mtime < source.stat().st_mtime):
        from shared.course import notebook_html

        try:
            notebook_html.write(project)
        except UserError as error:
            sys.stderr.write(f"{project.name}: {error}\n")
    return page_path
