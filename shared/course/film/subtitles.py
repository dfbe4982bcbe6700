"""Captions as SRT and WebVTT, and the film's chapters as ffmpeg reads them."""

import math
import textwrap
from dataclasses import dataclass

from shared.course.film.timeline import RATE, Plan, Scene

LINE = 42  # characters, and two lines a cue: what players show without wrapping again


@dataclass(frozen=True)
class Cue:
    """A text, and the frames of the film between which it is shown."""

    start: int
    end: int
    text: str


def cues(plan: Plan, language: str) -> list[Cue]:
    """Every caption, a long one as several cues that share its time by their length."""
    found: list[Cue] = []
    for scene in plan.scenes:
        if scene.step is None:
            continue
        lines = balanced(scene.step.caption[language])
        texts = ["\n".join(lines[i : i + 2]) for i in range(0, len(lines), 2)]
        found += _share(scene, texts)
    return found


def balanced(text: str) -> list[str]:
    """Lines of at most LINE characters, as long as each other: a last word alone would be gone before it is read."""
    most = 2 * math.ceil(len(textwrap.wrap(text, LINE)) / 2)  # whole cues
    narrow = max(map(len, text.split()))
    return next(lines for width in range(narrow, LINE + 1) if len(lines := textwrap.wrap(text, width)) <= most)


def _share(scene: Scene, texts: list[str]) -> list[Cue]:
    total, before, shared = sum(map(len, texts)), 0, []
    for text in texts:
        after = before + len(text)
        first, last = (scene.start + scene.frames * part // total for part in (before, after))
        shared.append(Cue(first, last, text))
        before = after
    return shared


def srt(found: list[Cue]) -> str:
    """SubRip: numbered cues, a comma before the milliseconds."""
    blocks = [
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(found, start=1)
    ]
    return "\n".join(blocks)


def vtt(found: list[Cue]) -> str:
    """WebVTT: a header, a point before the milliseconds, and &, < and > escaped."""
    blocks = ["WEBVTT\n"]
    for cue in found:
        text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append(f"{clock(cue.start, '.')} --> {clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def clock(frame: int, point: str) -> str:
    """hh:mm:ss and milliseconds of a frame.

    >>> clock(12 * 61 + 6, ",")
    '00:01:01,500'
    """
    milliseconds = round(1000 * frame / RATE)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


def chapter_starts(plan: Plan) -> list[tuple[int, int]]:
    """(chapter, first frame) of each chapter that the film shows; the title card belongs to the first."""
    starts: dict[int, int] = {}
    for scene in plan.scenes:
        if scene.chapter is not None:
            starts.setdefault(scene.chapter, scene.start if starts else 0)
    return list(starts.items())


def ffmetadata(plan: Plan, title: str) -> str:
    """Title and chapters in ffmpeg's metadata format, titles in Spanish."""
    starts = chapter_starts(plan)
    ends = [start for _, start in starts[1:]] + [plan.frames]
    lines = [";FFMETADATA1", f"title={_escape(title)}"]
    for (chapter, start), finish in zip(starts, ends, strict=True):
        name = _escape(plan.chapters[chapter].title["es"])
        lines += ["[CHAPTER]", f"TIMEBASE=1/{RATE}", f"START={start}", f"END={finish}", f"title={name}"]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return "".join(f"\\{character}" if character in "=;#\\\n" else character for character in text)
