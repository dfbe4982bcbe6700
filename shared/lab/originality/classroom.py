"""The benchmark on classes: parts stolen from one solution of an assignment and disguised, beside innocent pairs.

`python -m shared.lab.originality.classroom fetch|measure --sets DIR`, then `table`. The class of a theft is every
solution of the assignment, with the thief's text in the place of the thief's own solution; copydetect sees the pair.
"""

import csv
import io
import itertools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import tyro

from shared import progress
from shared.errors import UserError, reported
from shared.files import write_json, write_text
from shared.lab.originality import assignments
from shared.lab.originality.assignments import Assignment
from shared.lab.originality.attacks import apply, functions
from shared.lab.originality.detectors import ClassOfOurs, Copydetect
from shared.originality import evidence

RESULTS = evidence.TABLE.with_name("results")
THIEVES = 2  # of each solution
SHARES = {"whole": 1.0, "a quarter": 0.25, "a tenth": 0.10}
DISGUISES = {
    "copied": ("copy",),
    "renamed, reordered, dead code": ("rename", "shuffle", "dead code 50 %"),
    "for and while": ("for and while",),
    "everything at once": (
        "for and while", "comprehension and loop", "temporaries", "conditions", "literals", "dead code 50 %", "shuffle",
        "rename",
    ),
}  # fmt: skip
BARS = ("ours", "similarity", "overlap")  # copydetect has two readings


@dataclass(frozen=True)
class Theft:
    """A text in which a share of a donor's solution stands in the thief's own, disguised as a whole.

    Attributes:
        row: Share and disguise.
        share: Lines of the donor in the text, before the disguise.
    """

    row: tuple[str, str]
    donor: str
    thief: str
    text: str
    share: float


def thefts(assignment: Assignment, seed: int) -> Iterator[Theft]:
    """Every solution stolen from as a whole by one of the others and in part by some, under each disguise."""
    for donor, text in assignment.solutions.items():
        others = [name for name in assignment.solutions if name != donor]
        thieves = Random(f"{seed} {assignment.name} {donor}").sample(others, THIEVES)
        for disguise, attacks in DISGUISES.items():
            rng = Random(f"{seed} {assignment.name} {donor} {disguise}")
            yield Theft(("whole", disguise), donor, thieves[0], apply(attacks, text, rng), 1.0)
            for thief, part in itertools.product(thieves, ("a quarter", "a tenth")):
                rng = Random(f"{seed} {assignment.name} {donor} {thief} {disguise} {part}")
                own = assignment.solutions[thief]
                mixed = functions.partial(text, own, rng, share=SHARES[part])
                share = 1 - _lines(own) / _lines(mixed)
                yield Theft((part, disguise), donor, thief, apply(attacks, mixed, rng), share)


def _lines(text: str) -> int:
    imports, body = functions.definitions(text)
    return sum(functions.lines_of(item) for item in (*imports, *body))


def measured(assignment: Assignment, seed: int) -> dict[str, Any]:
    """Scores of the innocent pairs and of every theft, by ours in the class and by copydetect's two readings."""
    ours, theirs = ClassOfOurs(assignment.solutions, assignment.handout), Copydetect(assignment.handout)
    innocent = []
    for one, two in itertools.combinations(assignment.solutions, 2):
        texts = assignment.solutions[one], assignment.solutions[two]
        innocent.append([one, two, ours.innocent(one, two), *theirs.scores(*texts)])
    rows: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    total = len(assignment.solutions) * len(DISGUISES) * (1 + 2 * THIEVES)
    for theft in progress.track(thefts(assignment, seed), description=assignment.name, total=total):
        found = ours.theft(theft.thief, theft.text, theft.donor)
        rows[theft.row].append([found, *theirs.scores(theft.text, assignment.solutions[theft.donor]), theft.share])
    return {"innocent": innocent, "rows": [{"row": list(row), "scores": scores} for row, scores in rows.items()]}


# -------------------------------------------------------------------- commands


@dataclass(frozen=True)
class Fetch:
    """Fetch the solutions that are packages, and say which must be saved by hand."""

    sets: Path
    """Folder of the texts, outside the repository."""


@dataclass(frozen=True)
class Measure:
    """Score every theft and every innocent pair; the summary is written to `assignments-<use>.json`."""

    sets: Path
    """Folder of the texts, outside the repository."""
    use: str = "held-out"
    """`held-out`, or `tuning` for the assignments that were tuned on."""
    seed: int = 0
    """Draws the parts and the disguises."""
    out: Path = RESULTS
    """Folder of the results."""


@dataclass(frozen=True)
class Table:
    """Put both uses together: assignments.csv, and the table on the screen."""

    out: Path = RESULTS
    """Folder of the results."""


def measure(command: Measure) -> dict[str, Any]:
    """Measure every assignment of one use and write what came out."""
    found = {item.name: measured(item, command.seed) for item in assignments.load(command.sets, command.use)}
    result = {"use": command.use, "seed": command.seed} | summary(found)
    write_json(command.out / f"assignments-{command.use}.json", result)
    return result


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Recall above the highest innocent pair of the same assignment and of all of them, and at our threshold."""
    own = {name: _bars(item["innocent"]) for name, item in found.items()}
    highest = [max(bars[i] for bars in own.values()) for i in range(len(BARS))]
    gathered: dict[tuple[str, str], list[tuple[str, list[float]]]] = defaultdict(list)
    for name, item in found.items():
        for row in item["rows"]:
            gathered[tuple(row["row"])].extend((name, scores) for scores in row["scores"])
    pairs = [pair for item in found.values() for pair in item["innocent"]]
    return {
        "assignments": {
            name: {"innocent pairs": len(item["innocent"]), "highest": dict(zip(BARS, own[name], strict=True))}
            for name, item in found.items()
        },
        "innocent pairs": len(pairs),
        "false alarms at the shipped threshold": sum(pair[2] >= evidence.THRESHOLD for pair in pairs),
        "highest innocent pairs by ours": sorted(
            ([*pair[:2], round(pair[2], 3)] for pair in pairs), key=_last, reverse=True
        )[:10],
        "rows": [_row(row, cases, own, highest) for row, cases in gathered.items()],
    }


def _last(entry: list[Any]) -> float:
    return float(entry[-1])


def _bars(innocent: list[list[Any]]) -> list[float]:
    return [max(pair[2 + i] for pair in innocent) for i in range(len(BARS))]


def _row(
    row: tuple[str, str], cases: list[tuple[str, list[float]]], own: dict[str, list[float]], highest: list[float]
) -> dict[str, Any]:
    """Counts of thefts found; copydetect by the reading that finds more in this row."""
    in_class = [sum(scores[i] > own[name][i] for name, scores in cases) for i in range(len(BARS))]
    in_all = [sum(scores[i] > highest[i] for _, scores in cases) for i in range(len(BARS))]
    return {
        "part": row[0],
        "disguise": row[1],
        "thefts": len(cases),
        "median share": round(median(scores[3] for _, scores in cases), 3),
        "ours": in_class[0],
        "copydetect": max(in_class[1:]),
        "ours, one bar for all": in_all[0],
        "copydetect, one bar for all": max(in_all[1:]),
        "ours at the shipped threshold": sum(scores[0] >= evidence.THRESHOLD for _, scores in cases),
    }


def interval(found: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share, by default of 95 % (Wilson 1927)."""
    share, spread = found / of, z * z / of
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


COUNTED = (
    "ours",
    "copydetect",
    "ours, one bar for all",
    "copydetect, one bar for all",
    "ours at the shipped threshold",
)


def table(command: Table) -> list[dict[str, Any]]:
    """Recall with its interval, one row for each part and disguise, as `assignments.csv`."""
    rows = []
    for use in ("held-out", "tuning"):
        path = command.out / f"assignments-{use}.json"
        if not path.is_file():
            raise UserError(f"{path} is missing; run `measure --use {use}` first")
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
            made: dict[str, Any] = {"use": use} | {key: value for key, value in row.items() if key not in COUNTED}
            for name in COUNTED:
                low, high = interval(row[name], row["thefts"])
                made |= {name: round(row[name] / row["thefts"], 3), f"{name}, low": round(low, 3)}
                made |= {f"{name}, high": round(high, 3)}
            rows.append(made)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(command.out / "assignments.csv", text.getvalue())
    return rows


def main(command: Fetch | Measure | Table) -> None:
    """Run one part and show what came out."""
    if isinstance(command, Fetch):
        by_hand = assignments.fetch(command.sets)
        progress.table("Texts to be saved by hand", ["file", "from"], by_hand)
        return
    if isinstance(command, Measure):
        result = measure(command)
        rows = [[f"{row['part']}, {row['disguise']}", row["thefts"], *map(row.get, COUNTED)] for row in result["rows"]]
        alarms, pairs = result["false alarms at the shipped threshold"], result["innocent pairs"]
        title = f"Thefts found; {alarms} false alarms in {pairs} innocent pairs at {evidence.THRESHOLD:g}"
    else:
        made = table(command)
        rows = [[f"{row['part']}, {row['disguise']}", row["thefts"], *map(row.get, COUNTED)] for row in made]
        title = "Recall with no false alarm"
    progress.table(title, ["theft", "thefts", *COUNTED], rows)


if __name__ == "__main__":
    with reported():
        main(tyro.cli(Fetch | Measure | Table, description=__doc__))
        sys.exit(0)
