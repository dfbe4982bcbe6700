"""Runs: matches that follow one another on both sides, so that a stolen part is judged by itself.

What two people who solved one assignment share lies scattered over both files; what was copied stands in a row on both
sides, if with gaps where something was put in. So matches are joined to runs, and a long run says more than its matches
would one by one.

Source: the chaining of anchors of Li 2018, "Minimap2", §2.1.1, with bounded gaps instead of gap costs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

REACH = 30  # tokens from one match to the next of its run, on either side
OPEN = 6  # runs that a match may continue: the latest


@dataclass(slots=True)
class Run:
    """Matches in a row.

    Attributes:
        left: First and last matching place of the one side.
        right: The same of the other.
        matches: How many.
        weight: Sum of their weights, in nats.
    """

    left: tuple[int, int]
    right: tuple[int, int]
    matches: int
    weight: float

    def continued_by(self, here: int, there: int) -> bool:
        """Whether a match at these places is the next of the run."""
        return 0 < here - self.left[1] <= REACH and 0 < there - self.right[1] <= REACH


def aligned_runs(matches: Iterable[tuple[int, int, float]]) -> list[Run]:
    """Join matches to runs, each match to the latest run that it continues.

    Args:
        matches: Place on the one side, place on the other, weight in nats.
    """
    runs: list[Run] = []
    for here, there, weight in sorted(matches):
        for run in reversed(runs[-OPEN:]):
            if run.continued_by(here, there):
                run.left, run.right = (run.left[0], here), (run.right[0], there)
                run.matches += 1
                run.weight += weight
                break
        else:
            runs.append(Run((here, here), (there, there), 1, weight))
    return runs


def added_up(runs: Iterable[Run], half: float) -> float:
    """Σ w²/(w + half) over the weights of runs: a run of the weight `half` counts half, shorter ones hardly at all."""
    return sum(run.weight * run.weight / (run.weight + half) for run in runs)
