# ruff: noqa: D102 (the name of a test says what it asserts)
"""The tests that every project's sheet must pass; a project adds those of its references against its own code.

class TestSheet(SheetTests):
    sheet = sheet_of("lora")
    generic = (0, 1, "2 * r * d")
"""

import subprocess
import sys
from itertools import permutations

from shared.course.exercises.exercise import Number
from shared.course.exercises.sheet import Sheet

TEAMS = [f"equipo-{n}" for n in range(40)]


class SheetTests:
    """The demo team's answers are right, and nobody else's are.

    Attributes:
        sheet: To be tested.
        generic: Numbers and formulas that somebody would write who has not read the statements.
    """

    sheet: Sheet
    generic: tuple[float | str, ...]

    def test_the_demo_teams_answers_are_right(self) -> None:
        assert self.sheet.check("demo", self.sheet.answers("demo")) == {e.id: None for e in self.sheet.exercises}

    def test_a_copied_sheet_fails_for_every_other_team(self) -> None:
        copied = self.sheet.answers("demo")
        for team in TEAMS:
            wrong = [name for name, verdict in self.sheet.check(team, copied).items() if verdict]
            assert len(wrong) >= len(self.sheet.exercises) - 1, team

    def test_two_teams_rarely_share_an_answer(self) -> None:
        pairs = list(permutations(TEAMS, 2))
        for exercise in self.sheet.exercises:
            if isinstance(exercise.answer, Number):
                answers = {team: exercise.answer.solve(exercise.values(team)) for team in TEAMS}
                shared = sum(exercise.answer.wrong(answers[a], exercise.values(b)) is None for a, b in pairs)
                assert shared / len(pairs) < 0.05, exercise.id

    def test_a_generic_answer_fails_everywhere(self) -> None:
        names = [exercise.id for exercise in self.sheet.exercises]
        for generic in self.generic:
            allowed = 1 if isinstance(generic, int | float) else 0  # a number may hit once
            for team in TEAMS:
                verdicts = self.sheet.check(team, dict.fromkeys(names, generic))
                assert sum(verdict is None for verdict in verdicts.values()) <= allowed, (team, generic)

    def test_every_statement_is_filled(self) -> None:
        text = self.sheet.statements("equipo-1")
        assert "⟨x⟩" in text and text.count("⟨") == 1  # the introduction's own example
        assert len(self.sheet.exercises) >= 8

    def test_the_command(self) -> None:
        def command(*words: str) -> subprocess.CompletedProcess[str]:
            called = [sys.executable, "-m", "shared.course.exercises", self.sheet.folder.name, *words]
            return subprocess.run(called, capture_output=True, text=True, check=False)

        assert command("--team", "demo", "--check").returncode == 0
        assert command("--team", "otro", "--check").returncode == 2
        assert command("--team", "otro").stdout == self.sheet.statements("otro")
