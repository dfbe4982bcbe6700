"""A table of a README beside the CSV that its mark names: which cell of the CSV each of its numbers is.

    <!-- begin results of summary.csv -->      by default the CSV of the block's own name

A column of a README shows one thing: a column of the CSV, or what separates each row from one and the same row (a gain,
a ratio). A number that does not follow its column's rule in its own row comes from nowhere, though another cell of the
file may happen to hold it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from shared.course.grading.stated import Stated, as_number

Row = dict[str, str]
MENTIONED = 12
"""Rows of a CSV that one row of a README may be made of: a method's on several datasets."""
SHORT = 40
"""Rows of a CSV in which each row is tried as the one that others are told beside."""
LEAST = 2
"""Numbers that a rule with a second row has to explain: one alone is found by chance."""


@dataclass(frozen=True)
class Rule:
    """What a column of a README shows of a row of the CSV.

    Attributes:
        column: The CSV's.
        beside: Index of the row from which each is told, or None: the value itself.
        how: "difference", "points" (100 times it) or "ratio".
    """

    column: str
    beside: int | None = None
    how: str = ""

    def value(self, rows: Sequence[Row], index: int) -> float | None:
        """The rule's value in a row, if it has one."""
        own = as_number(rows[index].get(self.column))
        if own is None or self.beside is None:
            return own
        other = as_number(rows[self.beside].get(self.column))
        if other is None:
            return None
        if self.how == "ratio":
            return own / other if other else None
        return (own - other) * (100 if self.how == "points" else 1)


@dataclass(frozen=True)
class Place:
    """Where a number comes from: the rule and the row of the CSV."""

    rule: Rule
    index: int


def align(numbers: Sequence[Stated], rows: Sequence[Row]) -> dict[Stated, Place]:
    """The place of every number of a block that has one, among the rows of its CSV files."""
    lines: dict[int, list[Stated]] = defaultdict(list)
    for number in numbers:
        lines[number.line].append(number)
    possible = {line: likely_rows(each, position, rows) for position, (line, each) in enumerate(sorted(lines.items()))}
    columns: dict[tuple[int, int], list[Stated]] = defaultdict(list)
    for number in numbers:
        columns[number.column, number.place].append(number)
    found: dict[Stated, Place] = {}
    for column in columns.values():
        found |= explained(column, possible, rows)
    names = {number: as_named(number, possible[number.line], rows) for number in numbers if number not in found}
    return found | {number: place for number, place in names.items() if place}


def likely_rows(numbers: Sequence[Stated], position: int, rows: Sequence[Row]) -> list[int]:
    """The rows of the CSV that a README's row may be: the one with most of its numbers, and those that it names."""
    said = [mentions(row, numbers[0].context) for row in rows]
    most = max(said, default=0)
    named = [index for index, words in enumerate(said) if words == most > 0]
    held = [sum(holds(row, number) for number in numbers) for row in rows]
    best = sorted(range(len(rows)), key=lambda index: (-held[index], -said[index], abs(index - position)))[:1]
    return list(dict.fromkeys(best + (named if len(named) <= MENTIONED else [])))


def holds(row: Row, number: Stated) -> bool:
    """Whether any cell of a row rounds to a number."""
    return any(number.rounds_from(value) for value in map(as_number, row.values()) if value is not None)


def explained(column: Sequence[Stated], possible: dict[int, list[int]], rows: Sequence[Row]) -> dict[Stated, Place]:
    """The places of a column's numbers under the rule that explains most of them; of equals the plainest."""
    best: tuple[tuple[int, bool, int], dict[Stated, Place]] = (0, False, 0), {}
    for rule in rules(rows):
        found = {
            number: Place(rule, index)
            for number in column
            if (index := row_under(rule, number, possible[number.line], rows)) is not None
        }
        if rule.beside is not None and sum(place.index != rule.beside for place in found.values()) < LEAST:
            continue
        rank = (len(found), rule.beside is None, overlap(rule.column, column[0].heading))
        best = max(best, (rank, found), key=lambda each: each[0])
    return best[1]


def as_named(number: Stated, possible: Sequence[int], rows: Sequence[Row]) -> Place | None:
    """The place of a number that is part of a name: r = 0.5 in a row's words."""
    for index in possible:
        for column, text in rows[index].items():
            if as_number(text) is None and number.text in (text or ""):
                return Place(Rule(column), index)
    return None


def row_under(rule: Rule, number: Stated, possible: Sequence[int], rows: Sequence[Row]) -> int | None:
    """The first of the possible rows in which the rule gives the number."""
    for index in possible:
        value = rule.value(rows, index)
        if value is not None and number.rounds_from(value):
            return index
    return None


def rules(rows: Sequence[Row]) -> Iterator[Rule]:
    """Each column by itself, then each beside each of its rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row if as_number(row[name]) is not None))
    yield from map(Rule, columns)
    if len(rows) <= SHORT:
        for column, index, how in product(columns, range(len(rows)), ("points", "difference", "ratio")):
            yield Rule(column, index, how)


def mentions(row: Row, context: str) -> int:
    """How much of a row a text says, in characters; a prefix of another name weighs less."""
    return sum(len(word) for word in row.values() if word and as_number(word) is None and word in context)


def overlap(column: str, heading: str) -> int:
    """How many words of a CSV's column stand in the heading of a README's."""
    return len({*re.findall(r"[a-z]+", heading.lower())} & {*column.lower().split("_")})
