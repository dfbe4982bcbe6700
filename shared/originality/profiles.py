"""A profile: everything that a comparison needs of one file, taken from it once."""

import gc
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from shared.originality import hidden, oddities, tokens, trees
from shared.originality.alignment import REACH
from shared.originality.oddities import Oddity
from shared.originality.reading import Source
from shared.originality.text import Note
from shared.originality.trees import Unit

Place = tuple[int, int]  # first and last line


@dataclass(slots=True)
class Profile:
    """What a file has in each channel.

    Attributes:
        source: The file, without its tree.
        units: Functions, classes and the file's own statements, each with its fragments.
        grams: Token grams, each with the number of the token where it begins.
        token_lines: The line of every token.
        odd: Literals, numbers, comments and words.
        notes: The source's own and what was found since.
        dropped: Lines that count for nothing, being base code.
    """

    source: Source
    units: list[Unit]
    grams: dict[int, int]
    token_lines: "array[int]"
    odd: dict[int, Oddity]
    notes: list[Note]
    dropped: set[int] = field(default_factory=set)

    def gram_lines(self, first: int, last: int) -> Place:
        """First and last line of the grams that begin at these tokens."""
        return self.token_lines[first], self.token_lines[min(last + tokens.K, len(self.token_lines)) - 1]

    @property
    def owner(self) -> str:
        """Whose file it is."""
        return self.source.owner


def profile(source: Source) -> Profile:
    """Read every channel of a file. Strings that are run as code count as code and are noted."""
    found = tokens.lex(source.text)
    made = Profile(source, [], *tokens.fingerprints(found), oddities.oddities(found), list(source.notes))
    if source.tree is None:
        return made
    try:
        with _collector_at_rest():
            made.units = trees.units(source.tree)
            _add_hidden(made, source)
    except RecursionError:
        made.units = []
        made.notes.append(Note("too deep"))
    made.source = replace(source, tree=None)  # a class's trees would fill the memory and keep the collector busy
    return made


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """A tree has no cycles, and the garbage collector's looking for them takes as long as reading it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _add_hidden(made: Profile, source: Source) -> None:
    assert source.tree is not None
    runners = hidden.runners(source.tree) if hidden.may_run_text(source.text) else []
    made.notes.extend(Note("runs text", line, name) for line, name in runners)
    for item in hidden.hidden_code(source.tree) if runners else ():
        made.notes.append(Note("hidden code", item.line, item.how))
        last = item.line + item.text.count("\n")
        for unit in trees.units(item.tree):
            unit.name, unit.line, unit.end = f"{unit.name} in {item.how}, line {item.line}", item.line, last
            offset = item.line - 1 if item.how == "exec string" else 0
            unit.fragments = {
                fragment: (first + offset, final + offset) if offset else (item.line, last)
                for fragment, (first, final) in unit.fragments.items()
            }
            made.units.append(unit)
        _append(made, *tokens.fingerprints(tokens.lex(item.text)), item.line)


def _append(made: Profile, grams: dict[int, int], lines: "array[int]", line: int) -> None:
    """Grams of hidden code stand behind the file's own tokens, out of reach of a run that began there."""
    made.token_lines.extend([line] * REACH)
    offset = len(made.token_lines)
    made.token_lines.extend(line + number - 1 for number in lines)
    for gram, place in grams.items():
        made.grams.setdefault(gram, offset + place)
