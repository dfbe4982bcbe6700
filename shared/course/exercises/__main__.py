"""`python -m shared.course.exercises PROJECT`: a team's own exercises, or the check of its answers."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from shared.course.exercises.sheet import sheet_of
from shared.errors import command
from shared.fingerprint import team_key
from shared.fingerprint.course import read_course_key
from shared.fingerprint.keys import DEMO_TEAM, team_name
from shared.progress import table


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Print a team's own exercises, or check its answers."""

    project: tyro.conf.Positional[str]
    """The project: lora, adapters, …"""
    team: str | None = None
    """The team; by default that of CC0C2_TEAM, else demo."""
    check: bool = False
    """Check answers/<team>.toml instead of printing the statements."""
    key: Path | None = None
    """The course's key file: numbers and cases that a student's clone cannot draw."""


def main(arguments: Arguments) -> int:
    """Imprime los enunciados del equipo o corrige sus respuestas."""
    sheet, team = sheet_of(arguments.project), team_name(arguments.team or team_key().team)
    key = read_course_key(arguments.key).exercises if arguments.key else None
    if not arguments.check:
        if team == DEMO_TEAM:
            sys.stdout.write("Números del equipo de demostración; los de un equipo propio, con --team <equipo>.\n\n")
        sys.stdout.write(sheet.statements(team, key))
        return 0
    verdicts = sheet.check(team, sheet.answers(team), key)
    rows = [(name, "bien" if wrong is None else wrong) for name, wrong in verdicts.items()]
    table(f"Respuestas del equipo {team}", ["ejercicio", "resultado"], rows)
    right = sum(wrong is None for wrong in verdicts.values())
    print(f"{right} de {len(verdicts)} bien." + (" Números sorteados con la clave del curso." if key else ""))
    return int(right < len(verdicts))


if __name__ == "__main__":
    sys.exit(command(main, Arguments))
