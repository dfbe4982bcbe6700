"""What a grade needs before it begins: said first with what it takes, and made where it can be made."""

import sys

from shared.course.grading import children, films
from shared.course.grading.rubric import Limits
from shared.course.project import Project
from shared.language import Language

SAID = {
    "en": {
        "tests": "tests, exercises, notebook, originality and fingerprints: two to four minutes",
        "film": "film",
        "there": "there",
        "rendered": "rendered from its recording, one to two minutes",
        "unrecorded": "no recording; make demo-{0} ARGS=--keep makes one, which takes its whole run",
        "run": "run",
        "runs": "those of runs/{0}",
        "first": "made first, about five minutes",
        "none": "none; make run-{0} makes one (or --run-missing, here), about five minutes",
    },
    "es": {
        "tests": "pruebas, ejercicios, cuaderno, originalidad y huellas: de dos a cuatro minutos",
        "film": "película",
        "there": "está",
        "rendered": "se dibuja de su grabación, uno o dos minutos",
        "unrecorded": "sin grabación; make demo-{0} ARGS=--keep la hace, y tarda lo que su ejecución",
        "run": "ejecución",
        "runs": "las de runs/{0}",
        "first": "se hace antes, unos cinco minutos",
        "none": "ninguna; make run-{0} la hace (o aquí --run-missing), unos cinco minutos",
    },
}


def announce(projects: list[Project], run_missing: bool, language: Language = "en") -> None:
    """Say on stderr what grading these projects takes."""
    said = SAID[language]
    for project in projects:
        film, run = (said[key].format(project.name) for key in (_film(project), _run(project, run_missing)))
        parts = (f"{said['film']}: {film}", f"{said['run']}: {run}", said["tests"])
        sys.stderr.write(f"{project.name}: {'; '.join(parts)}\n")


def _film(project: Project) -> str:
    from shared.course.film import kept

    if films.present(project):
        return "there"
    return "rendered" if (project.film / kept.CAST).is_file() else "unrecorded"


def _run(project: Project, run_missing: bool) -> str:
    return "runs" if has_run(project) else "first" if run_missing else "none"


def has_run(project: Project) -> bool:
    """Whether anything was ever run; what it is worth the fingerprints say."""
    folder = project.root / "runs" / project.name
    return folder.is_dir() and any(folder.iterdir())


def run(project: Project, limits: Limits, wanted: bool) -> None:
    """Make the project's main run if it is wanted and there is none; how it failed is for the fingerprints to find."""
    if wanted and not has_run(project):
        sys.stderr.write(f"make run-{project.name}\n")
        command = [sys.executable, "-m", f"projects.{project.name}"]
        ended = children.run(command, project.root, limits, with_key=True)
        if ended.code != 0:
            sys.stderr.write(f"{project.name}: {ended.trouble or ended.output.strip().splitlines()[-1:]}\n")
