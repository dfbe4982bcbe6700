"""A project's outcomes as points of the rubric."""

from dataclasses import dataclass

from shared.course.grading.outcomes import Outcome
from shared.course.grading.rubric import Criterion, Rubric
from shared.course.project import Project


@dataclass(frozen=True)
class Graded:
    """A project's outcomes by criterion, and the seconds they took."""

    project: Project
    outcomes: dict[str, Outcome]
    seconds: float


def points(criterion: Criterion, graded: Graded) -> float:
    """Points of a machine's criterion, to two decimals."""
    return round(criterion.points * graded.outcomes[criterion.id].share, 2)


def totals(graded: Graded, rules: Rubric) -> tuple[float, float, float]:
    """(points reached, points that the machine judged, points open for a person)."""
    by_machine = [each for each in rules.criteria if is_judged(each, graded)]
    reached = round(sum(points(each, graded) for each in by_machine), 2)
    possible = sum(each.points for each in by_machine)
    return reached, possible, sum(each.points for each in rules.criteria) - possible


def is_judged(criterion: Criterion, graded: Graded) -> bool:
    """Whether the machine has judged it; the others wait for a person."""
    return criterion.judge == "machine" and graded.outcomes[criterion.id].judged
