"""Base code: templates that everybody was given do not count, even where they were edited.

What a template has in any channel is taken out. A statement most of which is the template's goes as a whole, and so
does one that reads like the template's at the same place of the same function: an edit of given code is not evidence.
A statement that is new inside a template's function stays, for that is where people write their own part.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from shared.originality import tokens
from shared.originality.background import Background
from shared.originality.profiles import Place, Profile
from shared.originality.trees import Unit

MOSTLY = 0.5  # share of a statement's weight that is the template's
RELATED = 0.3  # share of a function's weight from which it is an edited function of the template
ALIKE = 0.6  # ratio of matching tokens (Ratcliff and Metzener 1988) of an edited statement and the template's


@dataclass(frozen=True)
class Base:
    """Everything that the templates have."""

    fragments: frozenset[int]
    grams: frozenset[int]
    odd: frozenset[int]
    statements: tuple[tuple[frozenset[int], tuple[tuple[str, ...], ...]], ...]
    """For each unit of a template: its fragments, and its statements as tokens."""


def gather(profiles: Iterable[Profile]) -> Base:
    """Put the templates together."""
    fragments: set[int] = set()
    grams: set[int] = set()
    odd: set[int] = set()
    statements = []
    for item in profiles:
        grams.update(item.grams)
        odd.update(item.odd)
        for unit in item.units:
            fragments.update(unit.fragments)
            texts = tuple(_labels(item, place) for place in sorted(set(unit.fragments.values())))
            statements.append((frozenset(unit.fragments), texts))
    return Base(frozenset(fragments), frozenset(grams), frozenset(odd), tuple(statements))


def remove(item: Profile, base: Base, background: Background) -> None:
    """Take the templates out of a profile; the lines that went are remembered in `dropped`."""
    for unit in item.units:
        for first, last in _given(item, unit, base, background):
            item.dropped.update(range(first, last + 1))
        unit.fragments = {
            fragment: place
            for fragment, place in unit.fragments.items()
            if fragment not in base.fragments and not _inside(place, item.dropped)
        }
    item.grams = {
        gram: place
        for gram, place in item.grams.items()
        if gram not in base.grams and not _mostly_inside(item.gram_lines(place, place), item.dropped)
    }
    item.odd = {odd: found for odd, found in item.odd.items() if odd not in base.odd and found.line not in item.dropped}


def _given(item: Profile, unit: Unit, base: Base, background: Background) -> list[Place]:
    """Places of statements that are the template's, as they were or edited."""
    weights: dict[Place, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for fragment, place in unit.fragments.items():
        weight = background.weight("fragments", fragment) + 1e-9
        weights[place][0] += weight
        weights[place][1] += weight * (fragment in base.fragments)
    given = [place for place, (total, theirs) in weights.items() if theirs >= MOSTLY * total]
    theirs = sum(pair[1] for pair in weights.values())
    if theirs < RELATED * sum(pair[0] for pair in weights.values()):
        return given
    own = set(unit.fragments)
    template = max(base.statements, key=lambda entry: len(entry[0] & own), default=None)
    if template is not None:
        known = set(given)
        given += [place for place in weights if place not in known and _is_edit(_labels(item, place), template[1])]
    return given


def _is_edit(statement: tuple[str, ...], originals: tuple[tuple[str, ...], ...]) -> bool:
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(statement)
    for original in originals:
        matcher.set_seq1(original)
        if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE:
            return True
    return False


def _labels(item: Profile, place: Place) -> tuple[str, ...]:
    """Tokens of a statement, names by their spelling: here an edit is told from a rewriting."""
    lines = item.source.text.split("\n")[place[0] - 1 : place[1]]
    found = tokens.lex("\n".join(lines))
    return tuple(token.text for token in found if token.kind not in ("comment", "newline"))


def _inside(place: Place, dropped: set[int]) -> bool:
    return all(line in dropped for line in range(place[0], place[1] + 1))


def _mostly_inside(place: Place, dropped: set[int]) -> bool:
    lines = range(place[0], place[1] + 1)
    return 2 * sum(line in dropped for line in lines) >= len(lines)
