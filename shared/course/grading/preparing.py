"""What a grade needs before it begins: said first with what it takes, and made where it can be made."""

import sys

from shared.course.grading import children, films
from shared.course.grading.rubric import Limits
from shared.course.project import Project

TESTS = "tests, exercises, notebook, originality and fingerprints: two to four minutes"


def announce(projects: list[Project], run_missing: bool) -> None:
    """Say on stderr what grading these projects takes."""
    for project in projects:
        lines = [f"film: {'there' if films.present(project) else _film(project)}", f"run: {_run(project, run_missing)}"]
        sys.stderr.write(f"{project.name}: {'; '.join([*lines, TESTS])}\n")


def _film(project: Project) -> str:
    from shared.course.film import kept

    if (project.film / kept.CAST).is_file():
        return "rendered from its recording, one to two minutes"
    return f"no recording; make demo-{project.name} ARGS=--keep makes one, which takes its whole run"


def _run(project: Project, run_missing: bool) -> str:
    if has_run(project):
        return f"those of runs/{project.name}"
    if run_missing:
        return "made first, about five minutes"
    return f"none; make run-{project.name} makes one (or --run-missing, here), about five minutes"


def has_run(project: Project) -> bool:
    """Whether anything was ever run; what it is worth the fingerprints say."""
    folder = project.root / "runs" / project.name
    return folder.is_dir() and any(folder.iterdir())


def run(project: Project, limits: Limits, wanted: bool) -> None:
    """Make the project's main run if it is wanted and there is none; how it failed is for the fingerprints to find."""
    if wanted and not has_run(project):
        sys.stderr.write(f"{project.name}: its main run\n")
        command = [sys.executable, "-m", f"projects.{project.name}"]
        ended = children.run(command, project.root, limits, with_key=True)
        if ended.code != 0:
            sys.stderr.write(f"{project.name}: {ended.trouble or ended.output.strip().splitlines()[-1:]}\n")
