"""Theory exercises whose numbers belong to one team, and the check of that team's answers.

A project writes the statements in exercises.md and, beside it, exercises.py with one `Exercise` for each: how its
numbers are drawn, and what the answer is.
"""

from shared.exercises.exercise import Draw, Exercise, Expression, Number
from shared.exercises.sheet import Sheet, run

__all__ = ["Draw", "Exercise", "Expression", "Number", "Sheet", "run"]
