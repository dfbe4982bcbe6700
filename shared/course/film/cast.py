"""Recordings in asciinema's format, version 2: a header, then one JSON array [seconds, kind, data] a line.

Kinds that we write: "o" is output of the terminal; "m" is a marker, here the id of a step and what begins:

    [3.2, "m", "train/1 type"]      the prompt is there, the command is being typed
    [5.0, "m", "train/1 run"]       Enter was pressed
    [9.9, "m", "train/1 done"]      the prompt is back
"""

import json
from dataclasses import dataclass

from shared.errors import UserError

VERSION = 2


@dataclass(frozen=True)
class Event:
    """One line of a recording.

    Attributes:
        at: Seconds since its start; never falls.
        kind: "o" or "m".
        data: What the terminal received, or the marker's label.
    """

    at: float
    kind: str
    data: str


@dataclass(frozen=True)
class Cast:
    """A recording: the terminal's size in cells, and its events."""

    width: int
    height: int
    events: tuple[Event, ...]


def text(cast: Cast, *, title: str) -> str:
    """The recording as text; no date goes in, so that equal recordings are equal files."""
    header = {"version": VERSION, "width": cast.width, "height": cast.height, "title": title}
    lines = [json.dumps(header, ensure_ascii=False)]
    lines += [json.dumps([round(e.at, 3), e.kind, e.data], ensure_ascii=False) for e in cast.events]
    return "\n".join(lines) + "\n"


def parse(recorded: str, name: str) -> Cast:
    """A recording from its text.

    Args:
        recorded: What `text` made.
        name: The file's, for an error's line.

    Raises:
        UserError: With the line's number, if it is malformed, of another version, or goes back in time.
    """
    lines = recorded.split("\n")  # JSON escapes every other end of a line
    if lines[-1] == "":
        lines.pop()
    try:
        header = json.loads(lines[0])
        if header["version"] != VERSION:
            raise UserError(f"{name}: version {header['version']}, not {VERSION}")
        width, height = int(header["width"]), int(header["height"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise UserError(f"{name}: line 1 is no header of a recording") from None
    events: list[Event] = []
    for number, line in enumerate(lines[1:], start=2):
        events.append(_event(line, f"{name}: line {number}", events[-1].at if events else 0.0))
    return Cast(width, height, tuple(events))


def _event(line: str, where: str, earliest: float) -> Event:
    try:
        at, kind, data = json.loads(line)
        event = Event(float(at), str(kind), str(data))
    except (ValueError, TypeError):
        raise UserError(f"{where} is no event") from None
    if not event.at >= earliest:
        raise UserError(f"{where} goes back in time")
    return event
