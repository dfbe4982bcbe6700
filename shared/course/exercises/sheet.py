"""A project's sheet: its statements with a team's numbers, and the check of a team's answers."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course.exercises.declared import FILE, read_exercises
from shared.course.exercises.exercise import Exercise
from shared.errors import UserError
from shared.fingerprint.keys import team_name

PROJECTS = Path(__file__).resolve().parents[3] / "projects"
NAME = re.compile(r"[a-z][a-z0-9_]*")
PLACE = re.compile(r"⟨(\w+)⟩")  # where a statement has one of the team's numbers
DEFENDED = """La autoría de las respuestas se defiende oralmente: el programa que las corrige contiene las soluciones, y
quien corrige puede sortear otros números con la clave del curso (`--key`).

"""
HEADING = re.compile(r"^## .*`(\w+)`\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Sheet:
    """The exercises of one project.

    Attributes:
        folder: Holds exercises.md and answers/<team>.toml.
        exercises: In the order of exercises.md.
    """

    folder: Path
    exercises: Sequence[Exercise]

    def statements(self, team: str, key: bytes | None = None) -> str:
        """exercises.md with the team's numbers in their places, and how the answers are judged.

        Args:
            team: Whose numbers.
            key: A course's, for numbers that only its holder can draw.

        Raises:
            UserError: If the sections of exercises.md and the exercises differ, or a place names no value.
        """
        text = (self.folder / "exercises.md").read_text(encoding="utf-8")
        sections = HEADING.findall(text)
        if sections != [exercise.id for exercise in self.exercises]:
            raise UserError(f"{self.folder}/exercises.md has the sections {sections}, {FILE} others")
        pieces = re.split(r"(?=^## )", text, flags=re.MULTILINE)
        filled = [
            _fill(piece, ex.values(team, key), ex.id) for piece, ex in zip(pieces[1:], self.exercises, strict=True)
        ]
        return "".join([pieces[0], DEFENDED, *filled])

    def answers(self, team: str) -> dict[str, Any]:
        """What the team answered.

        Raises:
            UserError: If there is no file for the team, it is no TOML, or is another team's.
        """
        path = self.folder / "answers" / f"{team_name(team)}.toml"
        try:
            answers = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path} is not there: write one line an exercise, id = answer") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: {error}") from None
        unknown = sorted(answers.keys() - {exercise.id for exercise in self.exercises})
        if unknown:
            raise UserError(f"{path}: there is no exercise {unknown[0]!r}")
        return answers

    def check(self, team: str, answers: dict[str, Any], key: bytes | None = None) -> dict[str, str | None]:
        """For each exercise None if the answer is right, else what is wrong with it (in Spanish)."""
        return {
            exercise.id: exercise.wrong(answers[exercise.id], team, key) if exercise.id in answers else "sin respuesta"
            for exercise in self.exercises
        }


def sheet_of(project: str) -> Sheet:
    """The sheet of a project.

    Raises:
        UserError: If there is no such project, or it declares no exercises.
    """
    folder = PROJECTS / project
    if not NAME.fullmatch(project) or not (folder / FILE).is_file():
        raise UserError(f"no project {project!r} with exercises")
    return Sheet(folder, read_exercises(folder))


def _fill(piece: str, values: dict[str, Any], exercise: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UserError(f"exercise {exercise}: its statement mentions {match[1]}, which is not drawn")
        return f"{values[match[1]]}"

    return PLACE.sub(value, piece)
