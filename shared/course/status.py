"""`make status`: every project, standing or planned, what it found beside its baseline, and the command that shows it.

The sentence is the card's `found` (project.toml), its numbers resolved from results/; planned projects are named in
projects/planned.toml. The front page shows the same rows, in both languages, between marks that a test compares.
"""

import tomllib
from pathlib import Path

from shared.course.film.screenplay import read_toml
from shared.course.project import ROOT, Project, names
from shared.course.values import resolve
from shared.errors import UserError
from shared.progress import table
from shared.report import between_marks, markdown_table, put_into_readme

BLOCK = "projects"
OF = {"en": "of", "es": "de"}
READMES = {"en": "README.md", "es": "README.es.md"}
HEADS = {"en": ("project", "what it found", "command"), "es": ("proyecto", "qué encontró", "orden")}
PLANNED = {"en": "planned: ", "es": "previsto: "}
Row = tuple[str, str, str]
"""Name, sentence, and the command, which a planned project has not."""


def rows(language: str, root: Path = ROOT) -> list[Row]:
    """A row for each project that stands, then one for each that is planned.

    Raises:
        UserError: If a card lacks its sentence, a number cannot be resolved, or a planned project stands already.
    """
    standing = [(name, _found(Project(name, root), language), f"make run-{name}") for name in names(root)]
    planned = tomllib.loads((root / "projects" / "planned.toml").read_text(encoding="utf-8"))
    if twice := planned.keys() & set(names(root)):
        raise UserError(f"projects/planned.toml: {min(twice)} stands already")
    return standing + [(name, PLANNED[language] + said[language], "") for name, said in planned.items()]


def _found(project: Project, language: str) -> str:
    try:
        said = read_toml(project, "project.toml")[0]["card"]["found"][language]
    except KeyError as error:
        raise UserError(f"projects/{project.name}/project.toml: [card] lacks {error} of found.{language}") from None
    return resolve(said, project.results)


def markdown(language: str, root: Path = ROOT) -> str:
    """The rows as the front page of that language shows them."""
    shown = [
        (f"[{name}](projects/{name}/{READMES[language]})" if command else name, said, f"`{command}`" if command else "")
        for name, said, command in rows(language, root)
    ]
    return markdown_table(HEADS[language], shown)


def stale(root: Path = ROOT) -> list[str]:
    """The front pages that show other rows."""
    pages = {language: root / name for language, name in READMES.items()}
    return [page.name for language, page in pages.items() if between_marks(page, BLOCK) != markdown(language, root)]


def write(root: Path = ROOT) -> None:
    """Bring the front pages up to date."""
    for language, name in READMES.items():
        put_into_readme(root / name, BLOCK, markdown(language, root))


def show(language: str, root: Path = ROOT) -> None:
    """Print the rows."""
    found = rows(language, root)
    standing = sum(bool(command) for _, _, command in found)
    table(f"{standing} {OF[language]} {len(found)}", list(HEADS[language]), found)
