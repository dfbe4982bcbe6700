"""From a screenplay and its recording to a plan of the film: which scene stands when, and what the terminal does in it.

Times are whole frames, so that a plan is the same everywhere. Nothing is drawn here.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from shared.course.film.cast import Cast, Event
from shared.course.film.screenplay import Bilingual, Chapter, Screenplay, Step
from shared.errors import UserError

RATE = 12  # frames a second: typing looks fluent, and nothing else moves
TITLE_SECONDS, CHAPTER_SECONDS = 6.0, 3.0
LEAD_SECONDS = 1.2  # a caption stands before the typing begins
READING = 13.0  # characters of a caption a second; subtitles for adults are made for 15 to 17
LINE_SECONDS = 0.5  # to look at each line that was printed, up to the step's `look`
FIGURE_SECONDS = 4.0  # to look at a figure, beyond reading the caption

KEY_SECONDS = 0.07  # about what recording.py takes to type one
MARKS = ("type", "run", "done")

SILENT_SECONDS = 3.0  # of film in which a command runs and nothing happens: a longer wait is compressed

Kind = Literal["title", "chapter", "terminal", "figure"]
Edition = Literal["demo", "trailer"]


@dataclass(frozen=True)
class Write:
    """Terminal output at a frame of the film, counted from the scene's start."""

    frame: int
    data: str


@dataclass(frozen=True)
class Scene:
    """What stands on the screen under one caption.

    Attributes:
        kind: What is drawn.
        start: First frame; `frames` is how many there are.
        chapter: Which one, from 0; None for the title card.
        step: What it shows; None for cards.
        writes: Output of the terminal, in order.
        speed: How many times faster than it ran the part from `run_from` to `run_to` is shown; 1 is real time.
        run_from: Frames of the scene, as `run_to`.
    """

    kind: Kind
    start: int
    frames: int
    chapter: int | None = None
    step: Step | None = None
    writes: tuple[Write, ...] = ()
    speed: int = 1
    run_from: int = 0
    run_to: int = 0

    @property
    def seconds(self) -> float:
        """How long it stands."""
        return self.frames / RATE


@dataclass(frozen=True)
class Plan:
    """A whole film: its scenes in order. Each terminal scene begins with a cleared screen, so any can be left out."""

    scenes: tuple[Scene, ...]
    chapters: tuple[Chapter, ...]

    @property
    def frames(self) -> int:
        """Length of the film."""
        return self.scenes[-1].start + self.scenes[-1].frames

    @property
    def seconds(self) -> float:
        """Length of the film."""
        return self.frames / RATE


def plan(screenplay: Screenplay, cast: Cast, edition: Edition, spoken: dict[str, float] | None = None) -> Plan:
    """Lay out the film.

    Args:
        screenplay: What is shown.
        cast: The recording of its commands.
        edition: The whole film, or the steps that are marked for the trailer.
        spoken: Seconds that the narration of a step takes, by its id.

    Raises:
        UserError: If the recording lacks a step: it was made from another screenplay.
    """
    takes = split(cast)
    scenes = [Scene("title", 0, frames_of(TITLE_SECONDS))]
    for index, chapter in enumerate(screenplay.chapters):
        steps = [step for step in chapter.steps if edition == "demo" or step.trailer]
        if steps and edition == "demo":
            scenes.append(Scene("chapter", end(scenes), frames_of(CHAPTER_SECONDS), index))
        for step in steps:
            least = max(reading_seconds(step.caption), (spoken or {}).get(step.id, 0.0) + LEAD_SECONDS)
            if step.figure:
                scenes.append(Scene("figure", end(scenes), frames_of(least + FIGURE_SECONDS), index, step))
            elif step.id in takes:
                scenes.append(terminal_scene(end(scenes), index, step, takes[step.id], least))
            else:
                raise UserError(f"the recording has no step {step.id}: record it again")
    return Plan(tuple(scenes), screenplay.chapters)


def bounds(screenplay: Screenplay, edition: Edition) -> tuple[float, float]:
    """The least and the most seconds that the film can have: each command ends at once, or fills its time and a screen.

    Known without a recording, so that a screenplay of the wrong length is refused before its long run.
    """
    short, long = (plan(screenplay, rehearsal, edition) for rehearsal in _extremes(screenplay))
    return short.seconds, long.seconds


def longest_chapter(screenplay: Screenplay, name: str) -> float:
    """The most seconds, with its card, that the film can spend in the chapter of that name."""
    scenes = plan(screenplay, _extremes(screenplay)[1], "demo").scenes
    index = [chapter.id for chapter in screenplay.chapters].index(name)
    return sum(scene.seconds for scene in scenes if scene.chapter == index)


def _extremes(screenplay: Screenplay) -> tuple[Cast, Cast]:
    """Recordings in which each command ends at once and prints nothing, and in which it does all that it may."""
    return _rehearsal(screenplay, 0.0, 0), _rehearsal(screenplay, float("inf"), 1000)


def _rehearsal(screenplay: Screenplay, seconds: float, lines: int) -> Cast:
    """A recording in which every command is typed, runs so long and prints so much."""
    events, at = [], 0.0
    for step in screenplay.steps:
        moments = (at, at := at + KEY_SECONDS * len(step.command), at := at + min(seconds, step.squeeze))
        type_, run, done = (
            Event(moment, "m", f"{step.id} {what}") for moment, what in zip(moments, MARKS, strict=True)
        )
        events += [type_, run, Event(run.at + 1e-3, "o", "\n" * lines), done]
    return Cast(1, 1, tuple(events))


def end(scenes: list[Scene]) -> int:
    """The first frame after the scenes."""
    return scenes[-1].start + scenes[-1].frames


def frames_of(seconds: float) -> int:
    """Frames that last at least so long."""
    return math.ceil(round(seconds * RATE, 6))


def reading_seconds(caption: Bilingual) -> float:
    """Time to read the longer of the two texts; a reader needs one of them."""
    return 1.0 + max(map(len, caption.values())) / READING


@dataclass(frozen=True)
class Take:
    """The recording of one step: output, and when typing, running and its end began, in seconds of the recording."""

    typed: float
    ran: float
    done: float
    output: tuple[Event, ...]


def split(cast: Cast) -> dict[str, Take]:
    """The recording's steps by id.

    Raises:
        UserError: If its markers are out of order.
    """
    takes: dict[str, Take] = {}
    marks: dict[str, float] = {}
    output: list[Event] = []
    for event in cast.events:
        if event.kind == "o":
            output.append(event)
            continue
        name, _, what = event.data.partition(" ")
        marks[what] = event.at
        if what == "type":
            output = []
        elif what == "done":
            try:
                takes[name] = Take(marks.pop("type"), marks.pop("run"), marks.pop("done"), tuple(output))
            except KeyError as missing:
                raise UserError(f"the recording lacks the marker {missing} of step {name}") from None
    return takes


def silence(take: Take) -> float:
    """The longest time, in seconds of the recording, in which the running command printed nothing."""
    moments = [take.ran, *(event.at for event in take.output if event.at > take.ran), take.done]
    return max(after - before for before, after in pairwise(moments))


def terminal_scene(start: int, chapter: int, step: Step, take: Take, least: float) -> Scene:
    """A command: typed as it was, run in real time or compressed by a whole factor, then left standing to be read."""
    ran = take.done - take.ran
    speed = max(1, math.ceil(round(ran / step.squeeze, 6)), math.ceil(round(silence(take) / SILENT_SECONDS, 6)))
    typing = take.ran - take.typed
    run_from = LEAD_SECONDS + typing

    def shown(at: float) -> int:
        late = max(0.0, at - take.ran)
        return frames_of(LEAD_SECONDS + min(at, take.ran) - take.typed + late / speed)

    writes = tuple(Write(shown(event.at), event.data) for event in take.output)
    lines = sum(event.data.count("\n") for event in take.output if event.at > take.ran)
    over = run_from + ran / speed + 1.0 + min(step.look, LINE_SECONDS * lines)
    seconds = max(least + typing / 2, over)
    return Scene(
        "terminal",
        start,
        frames_of(seconds),
        chapter,
        step,
        writes,
        speed,
        frames_of(run_from),
        frames_of(run_from + ran / speed),
    )
