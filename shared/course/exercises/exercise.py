"""One exercise: numbers drawn from the team's name, and two kinds of answer."""

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


class Draw:
    """Numbers that (team, exercise) decides, the same on every machine and in every Python.

    Args:
        team: Name of the team; case and outer spaces do not matter.
        exercise: Identifier of the exercise.
    """

    def __init__(self, team: str, exercise: str) -> None:
        message = f"{team.strip().casefold()}\n{exercise}".encode()
        self._random = random.Random(hmac.digest(DOMAIN, message, hashlib.sha256))

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

    def wrong(self, given: Any, values: Values) -> str | None:
        """Why the given answer is not right, or None."""
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            return f"se espera un número, no {given!r}"
        right = self.solve(values)
        usual = 0 if isinstance(right, int) else 1e-3
        close = math.isclose(given, right, rel_tol=usual if self.rel_tol is None else self.rel_tol, abs_tol=1e-12)
        return None if close else "el número no es el de este equipo"


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

    def wrong(self, given: Any, values: Values) -> str | None:
        """Why the given answer is not right, or None."""
        if not isinstance(given, str):
            return f"se espera una expresión entre comillas, no {given!r}"
        for case in self.cases(values):
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

    def values(self, team: str) -> Values:
        """The team's numbers."""
        return self.draw(Draw(team, self.id))
