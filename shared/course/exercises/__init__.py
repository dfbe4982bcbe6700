"""Theory exercises whose numbers belong to one team, and the check of that team's answers.

A project writes the statements in exercises.md, and declares in exercises.toml how their numbers are drawn and what the
answers are (shared/course/exercises/declared.py).
"""

from shared.course.exercises.exercise import Draw, Exercise, Expression, Number
from shared.course.exercises.sheet import Sheet, sheet_of

__all__ = ["Draw", "Exercise", "Expression", "Number", "Sheet", "sheet_of"]
