"""`make demo-<project>`: record, render, caption; the whole film and its trailer from one recording.

Built into build/demo/<project>/ and not committed: demo.cast, recorded.json, demo.mp4, trailer.mp4, film.json (what
they were made from). Committed in results/demo/: the poster, and the captions of both in Spanish and English.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

from PIL import Image

from shared.course.film import cast, encoding, narration, recording, rendering, screenplay, subtitles, timeline
from shared.course.project import Project, digests, read_json_or_none, stale
from shared.errors import UserError
from shared.files import atomic_path, write_json, write_text

LENGTHS: dict[timeline.Edition, tuple[int, int]] = {"demo": (360, 600), "trailer": (60, 90)}  # seconds
LARGEST = 15_000_000  # bytes of a file
CAST, RECORDED, RECEIPT = "demo.cast", "recorded.json", "film.json"


def build(project: Project, *, reuse: bool = False, narrate: bool = False) -> dict[str, Any]:
    """Make both films. Returns, by edition, what was made: seconds, bytes, and how fast it was rendered.

    Args:
        project: Has a demo.toml.
        reuse: Render the recording that is there instead of making a new one.
        narrate: Have the captions read aloud.

    Raises:
        UserError: If anything fails; the films that were there stay.
    """
    play = screenplay.load(project)
    sources = digests(project, set(play.sources))  # as they are now: what changes meanwhile makes the film old
    empty = cast.Cast(recording.WIDTH, recording.HEIGHT, ())
    rendering.Renderer(play, empty, project.results)  # a caption that does not fit is told before the long recording
    spoken = narration.speak(play, project.build / "voice") if narrate else {}
    recorded = reused(project, play) if reuse else record(project, play)
    plans = {edition: timeline.plan(play, recorded, edition, spoken) for edition in LENGTHS}
    for edition, plan in plans.items():
        check_length(edition, plan.seconds)
    made: dict[str, Any] = {}
    for edition, plan in plans.items():
        made[edition] = render(project, play, recorded, edition, plan, narrate)
    poster(project, play)
    receipt = {"editions": made, "sources": sources}
    write_json(project.build / RECEIPT, receipt)
    return made


def record(project: Project, play: screenplay.Screenplay) -> cast.Cast:
    """Perform the screenplay; the recording is kept, with what it was made from."""
    shown = {"commands": commands(play), "results": digests(project, results_of(play))}
    cast.write(project.build / CAST, recording.record(play, recording.stage(project)), title=play.title["es"])
    write_json(project.build / RECORDED, shown)
    return cast.read(project.build / CAST)


def reused(project: Project, play: screenplay.Screenplay) -> cast.Cast:
    """The last recording, if it still shows what the captions speak of.

    Raises:
        UserError: If there is none, or commands or results changed since: the picture and its caption would disagree.
    """
    recorded = cast.read(project.build / CAST)
    shown = read_json_or_none(project.build / RECORDED) or {}
    changed = stale(project, {**digests(project, results_of(play)), **shown.get("results", {})})
    if changed or shown.get("commands") != commands(play):
        what = ", ".join(changed) or "a command"
        raise UserError(f"{what} changed since the recording: leave out --reuse and record it again")
    return recorded


def commands(play: screenplay.Screenplay) -> dict[str, str]:
    """What is typed, by step."""
    return {step.id: step.command for step in play.steps}


def results_of(play: screenplay.Screenplay) -> set[str]:
    """The files of results/ that the film reads."""
    return {name for name in play.sources if name.startswith("results/")}


def check_length(edition: timeline.Edition, seconds: float) -> None:
    """Refuse a film that is shorter or longer than the course asks for.

    Raises:
        UserError: With its length and the bounds.
    """
    least, most = LENGTHS[edition]
    if not least <= seconds <= most:
        raise UserError(f"the {edition} lasts {seconds:.0f} s, {least} to {most} are asked for: change its captions")


def render(
    project: Project,
    play: screenplay.Screenplay,
    recorded: cast.Cast,
    edition: timeline.Edition,
    plan: timeline.Plan,
    narrate: bool,
) -> dict[str, Any]:
    """One edition: its MP4 and its captions."""
    started = time.perf_counter()
    video, sound = project.build / f"{edition}.mp4", None
    if narrate:
        sound = project.build / "voice" / f"{edition}.wav"
        narration.track(plan, project.build / "voice", sound)
    frames = rendering.Renderer(play, recorded, project.results).frames(plan)
    encoding.encode(video, frames, rendering.SIZE, subtitles.ffmetadata(plan, play.title["es"]), sound)
    taken = time.perf_counter() - started
    for language in screenplay.LANGUAGES:
        cues = subtitles.cues(plan, language)
        write_text(captions(project, edition, language, "srt"), subtitles.srt(cues))
        write_text(captions(project, edition, language, "vtt"), subtitles.vtt(cues))
    size = video.stat().st_size
    if size > LARGEST:
        raise UserError(f"{video.name} has {size / 1e6:.1f} MB, {LARGEST / 1e6:.0f} are allowed")
    return {
        "seconds": round(plan.seconds, 2),
        "bytes": size,
        "sha256": hashlib.sha256(video.read_bytes()).hexdigest(),
        "times_real_time": round(plan.seconds / taken, 1),
    }


def captions(project: Project, edition: str, language: str, suffix: str) -> Path:
    """Where a caption file is committed."""
    return project.results / "demo" / f"{edition}.{language}.{suffix}"


def poster(project: Project, play: screenplay.Screenplay) -> None:
    """The title card as a small PNG."""
    card = rendering.title_card(play.title, play.subtitle).quantize(32, dither=Image.Dither.NONE)
    with atomic_path(project.results / "demo" / "poster.png") as temporary:
        card.save(temporary, format="png", optimize=True)


def receipt(project: Project) -> dict[str, Any] | None:
    """What the last build made, or None."""
    return read_json_or_none(project.build / RECEIPT)
