"""One exercise: numbers drawn from the team's name (and a course's key, if there is one), and two kinds of answer."""

import hashlib
import hmac
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.course.exercises.expressions import evaluate
from shared.errors import UserError

Values = dict[str, Any]
Item = TypeVar("Item")

DOMAIN = b"cc0c2/exercises/v1"  # a new version of the exercises draws new numbers for everybody
OWN_CASES = 3  # on which a team's expression is tried beside the listed ones


class Draw:
    """Numbers that (team, exercise, key) decide, the same on every machine and in every Python.

    Args:
        team: Name of the team; case and outer spaces do not matter.
        exercise: Identifier of the exercise.
        key: A course's secret, for numbers that nobody can draw who has the repository only.
    """

    def __init__(self, team: str, exercise: str, key: bytes | None = None) -> None:
        self.team, self.key = team, key
        message = f"{team.strip().casefold()}\n{exercise}".encode()
        self._random = random.Random(hmac.digest(key or DOMAIN, message, hashlib.sha256))

    def of(self, exercise: str) -> "Draw":
        """The same team's draw of another exercise, from its beginning."""
        return Draw(self.team, exercise, self.key)

    def integer(self, low: int, high: int, step: int = 1) -> int:
        """One of low, low + step, …, at most high."""
        return low + step * int(self._random.random() * ((high - low) // step + 1))

    def decimal(self, low: float, high: float, digits: int = 2) -> float:
        """A number with so many digits behind the point, from low to high."""
        return self.integer(round(low * 10**digits), round(high * 10**digits)) / 10**digits

    def one_of(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.integer(0, len(items) - 1)]


@dataclass(frozen=True)
class Number:
    """An answer that is a number.

    Attributes:
        solve: From the exercise's values to the answer.
        rel_tol: Relative tolerance; by default 0.001, and of a whole number 0: it has to be the very one.
    """

    solve: Callable[[Values], float]
    rel_tol: float | None = None

    def wrong(self, given: Any, values: Values, _: Draw | None = None) -> str | None:
        """Why the given answer is not right, or None."""
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            return f"se espera un número, no {given!r}"
        right = self.solve(values)
        usual = 0 if isinstance(right, int) else 1e-3
        close = math.isclose(given, right, rel_tol=usual if self.rel_tol is None else self.rel_tol, abs_tol=1e-12)
        return None if close else "el número no es el de este equipo"


def between(cases: Sequence[Values], draw: Draw) -> Values:
    """One more case: each variable somewhere between the least and the largest of those that are listed."""
    case: Values = {}
    for name in cases[0]:
        low, high = (bound(each[name] for each in cases) for bound in (min, max))
        whole = isinstance(low, int) and isinstance(high, int)
        case[name] = draw.integer(low, high) if whole else draw.decimal(low, high)
    return case


@dataclass(frozen=True)
class Expression:
    """An answer that is a formula or a short piece of behaviour, written as a Python expression.

    It is compared by what it computes on `cases`, so that every correct way to write it is right. It is interpreted
    node by node (see `expressions`), never run.

    Attributes:
        solve: The reference, from the exercise's values and one case to the result.
        cases: From the exercise's values to the cases: dictionaries with a value for each variable.
    """

    solve: Callable[[Values, Values], float]
    cases: Callable[[Values], Sequence[Values]]

    def wrong(self, given: Any, values: Values, draw: Draw | None = None) -> str | None:
        """Why the given answer is not right, or None.

        Args:
            draw: Draws cases that are this team's own: an expression cannot be right on the listed ones alone.
        """
        if not isinstance(given, str):
            return f"se espera una expresión entre comillas, no {given!r}"
        listed = self.cases(values)
        own = [between(listed, draw) for _ in range(OWN_CASES)] if draw else []
        for case in [*listed, *own]:
            try:
                result = evaluate(given, case)
            except UserError as error:
                return str(error)
            if not math.isclose(result, self.solve(values, case), rel_tol=1e-6, abs_tol=1e-9):
                said = ", ".join(f"{name} = {value:g}" for name, value in case.items())
                return f"la expresión no da el resultado de este equipo para {said}"
        return None


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        id: Names the section of exercises.md, the draw and the answer.
        draw: From a Draw to the values that the statement mentions.
        answer: How an answer is judged.
    """

    id: str
    draw: Callable[[Draw], Values]
    answer: Number | Expression

    def values(self, team: str, key: bytes | None = None) -> Values:
        """The team's numbers, under a course's key if there is one."""
        return self.draw(Draw(team, self.id, key))

    def wrong(self, given: Any, team: str, key: bytes | None = None) -> str | None:
        """Why a team's answer is not right, or None."""
        return self.answer.wrong(given, self.values(team, key), Draw(team, f"{self.id}/cases", key))
