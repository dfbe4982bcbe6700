"""`python -m shared.course notebook|demo|film|grade|dashboard|status`: what `make` runs for targets of these names."""

import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from shared.course.project import Project, find, names
from shared.errors import reported
from shared.language import Language, terminal
from shared.progress import table

Name = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True)
class Notebook:
    """Execute a project's notebook again from its source and results/."""

    project: Name
    """Name of the project."""
    check: bool = False
    """Write nothing; compare the tagged numbers with the committed notebook's."""
    lang: Language = field(default_factory=terminal)
    """English or Spanish; by default as LANG says."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course import notebook

        project = find(self.project)
        if self.check:
            agree = {
                "en": "numbers agree with the committed notebook",
                "es": "números coinciden con el cuaderno guardado",
            }
            print(f"{notebook.check(project)} {agree[self.lang]}")
        else:
            from shared.course import notebook_html

            wrote = {"en": "wrote", "es": "escrito:"}[self.lang]
            print(f"{wrote} {notebook.build(project).relative_to(project.root)}")
            print(f"{wrote} {notebook_html.write(project).relative_to(project.root)}")
        return 0


@dataclass(frozen=True)
class Demo:
    """Record a project's demo.toml in a terminal, which runs it, and render the film and its trailer."""

    project: Name
    """Name of the project."""
    reuse: bool = False
    """Take the last recording of build/ instead of making one."""
    keep: bool = False
    """Put the recording into the tree: projects/<project>/film/."""
    narrate: bool = False
    """Have the captions read aloud (needs espeak-ng)."""
    lang: Language = field(default_factory=terminal)
    """English or Spanish; by default as LANG says."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course.film import film

        project = find(self.project)
        show_films(project, film.demo(project, reuse=self.reuse, keep=self.keep, narrate=self.narrate), self.lang)
        return 0


@dataclass(frozen=True)
class Film:
    """Render the film and its trailer from the recording in the tree; nothing of the project is run."""

    project: Name
    """Name of the project."""
    narrate: bool = False
    """Have the captions read aloud (needs espeak-ng)."""
    lang: Language = field(default_factory=terminal)
    """English or Spanish; by default as LANG says."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course.film import film

        project = find(self.project)
        show_films(project, film.film(project, narrate=self.narrate), self.lang)
        return 0


FILMS = {
    "en": (
        ("Films", "file", "length", "size", "rendered faster than real time"),
        "recorded at commit {0}",
        "; changed since: {0}",
    ),
    "es": (
        ("Películas", "fichero", "duración", "tamaño", "dibujada más deprisa de lo que dura"),
        "grabada con el commit {0}",
        "; cambiado desde entonces: {0}",
    ),
}


def show_films(project: Project, made: dict[str, Any], language: Language = "en") -> None:
    """Say which files there are now, and which commit they show."""
    rows = [
        (f"{project.build.relative_to(project.root)}/{edition}.mp4", f"{each['seconds']:.0f} s",
         f"{each['bytes'] / 1e6:.1f} MB", f"×{each['times_real_time']:g}")
        for edition, each in made["editions"].items()
    ]  # fmt: skip
    (title, *heads), recorded, changed = FILMS[language]
    table(title, heads, rows)
    since = changed.format(", ".join(made["changed"])) if made["changed"] else ""
    print(f"{recorded.format(made['commit'][:10])}{since}")


@dataclass(frozen=True)
class Grade:
    """Grade projects against the rubric; every project if none is named.

    What it needs it finds or makes: a film is rendered from its recording. Interrupted, it goes on where it was.
    """

    project: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of projects."""
    pristine: str = "HEAD"
    """Commit whose tests are run; an instructor names one of their own."""
    run_missing: bool = False
    """Make the main run (make run-<project>) of a project that has none, too."""
    lang: Language = field(default_factory=terminal)
    """English or Spanish; by default as LANG says."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course.grading import report

        projects = [find(name) for name in self.project or names()]
        report.main(projects, pristine=self.pristine, run_missing=self.run_missing, language=self.lang)
        return 0


@dataclass(frozen=True)
class Dashboard:
    """Write one page with a card for each project."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course import dashboard

        print(f"wrote {dashboard.build()}")
        return 0


@dataclass(frozen=True)
class Status:
    """Say of each project, standing or planned, what it found and which command shows it."""

    lang: Language = field(default_factory=terminal)
    """English or Spanish; by default as LANG says."""
    write: bool = False
    """Bring the tables of README.md and README.es.md up to date instead."""

    def run(self) -> int:
        """Do it; the exit code."""
        from shared.course import status

        if self.write:
            status.write()
        else:
            status.show(self.lang)
        return 0


def main() -> int:
    """Run the verb that the command line names."""
    verbs: Any = Notebook | Demo | Film | Grade | Dashboard | Status
    with reported():
        return tyro.cli(verbs, description=__doc__).run()
    raise AssertionError("unreachable")  # `reported` exits or re-raises


if __name__ == "__main__":
    sys.exit(main())
