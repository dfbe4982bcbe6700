"""`python -m shared.course.exercises PROJECT`: a team's own exercises, or the check of its answers."""

import sys
from dataclasses import dataclass

import tyro

from shared.course.exercises.sheet import sheet_of
from shared.errors import command
from shared.fingerprint import team_key
from shared.fingerprint.keys import DEMO_TEAM
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


def main(arguments: Arguments) -> int:
    """Imprime los enunciados del equipo o corrige sus respuestas."""
    sheet, team = sheet_of(arguments.project), arguments.team or team_key().team
    if not arguments.check:
        if team == DEMO_TEAM:
            sys.stdout.write("Números del equipo de demostración; los de un equipo propio, con --team <equipo>.\n\n")
        sys.stdout.write(sheet.statements(team))
        return 0
    verdicts = sheet.check(team, sheet.answers(team))
    rows = [(name, "bien" if wrong is None else wrong) for name, wrong in verdicts.items()]
    table(f"Respuestas del equipo {team}", ["ejercicio", "resultado"], rows)
    return int(any(verdicts.values()))


if __name__ == "__main__":
    sys.exit(command(main, Arguments))
