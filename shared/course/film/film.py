"""`make demo-<project>` records; `make film-<project>` renders the recording that is committed: film and trailer.

Built into build/demo/<project>/ and not committed: demo.mp4, trailer.mp4, film.json (what they were made from), and the
last recording. Committed in projects/<project>/film/: the recording (kept.py), the poster, the captions of both films.
"""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from shared.course.film import cast, encoding, kept, narration, recording, rendering, screenplay, subtitles, timeline
from shared.course.project import Project, digests, read_json_or_none, stale
from shared.errors import UserError
from shared.files import atomic_path, write_json, write_text
from shared.progress import track

LENGTHS: dict[timeline.Edition, tuple[int, int]] = {"demo": (360, 600), "trailer": (60, 90)}  # seconds
LARGEST = 15_000_000  # bytes of a file
TEMPLATED, TEMPLATED_SECONDS = ("test", "integrity"), 45  # chapters that are much the same in all films, and so short
SECONDS_A_WORD = 1.2 / 15  # what a caption stands at the very least
RECEIPT = "film.json"
POSTER = (640, 360)  # pixels


def demo(project: Project, *, reuse: bool = False, keep: bool = False, narrate: bool = False) -> dict[str, Any]:
    """Record the screenplay and make both films of it.

    Args:
        project: Has a demo.toml.
        reuse: Take the last recording of build/ instead of making a new one.
        keep: Put the recording into the tree, beside the captions.
        narrate: Have the captions read aloud.

    Raises:
        UserError: If anything fails; the films that were there stay.
    """
    play = rehearsed(project)
    if not reuse:
        check_templated(play)
        record(project, play)
    recorded = kept.load(project.build, project, play)
    check(play, recorded.terminal)  # a recording whose film cannot be made is not kept
    for step in rendering.scrolled_away(play, recorded.terminal):
        sys.stderr.write(f"{project.name}: step {step} prints more than a screen: its beginning is not seen\n")
    if keep:
        kept.keep(project, play)
    return build(project, play, recorded, narrate=narrate)


def film(project: Project, *, narrate: bool = False) -> dict[str, Any]:
    """Make both films of the recording in the tree; nothing of the project is run.

    Raises:
        UserError: If there is none, or it shows what is no longer so.
    """
    play = rehearsed(project)
    return build(project, play, kept.load(project.film, project, play), narrate=narrate)


def rehearsed(project: Project) -> screenplay.Screenplay:
    """The screenplay; what would spoil the film is told before the long recording.

    Raises:
        UserError: If a caption does not fit, or the film cannot have its length whatever is printed.
    """
    play = screenplay.load(project)
    rendering.Renderer(play, cast.Cast(recording.WIDTH, recording.HEIGHT, ()), project.results)
    for edition, (least, most) in LENGTHS.items():
        shortest, longest = timeline.bounds(play, edition)
        if shortest > most or longest < least:
            asked = f"{least} to {most} s are asked for"
            raise UserError(f"the {edition} would last {shortest:.0f} to {longest:.0f} s, {asked}: change its captions")
    return play


def check_templated(play: screenplay.Screenplay) -> None:
    """Refuse, before it is recorded, a film that would spend long in what all films share.

    Raises:
        UserError: With the chapter and its length.
    """
    for name in TEMPLATED:
        seconds = timeline.longest_chapter(play, name)
        if seconds > TEMPLATED_SECONDS:
            allowed = f"{TEMPLATED_SECONDS} are allowed: shorten its captions, its commands, or squeeze and look"
            raise UserError(f"the chapter {name!r} may last {seconds:.0f} s, {allowed}")


def record(project: Project, play: screenplay.Screenplay) -> None:
    """Perform the screenplay; the recording goes to build/, with what it shows."""
    for step in play.steps:
        recording.refuse_private(step.command, project.root)  # before the long run, not after it
    about = kept.described(project, play)  # as it is now: what changes meanwhile makes the recording old
    kept.save(project.build, project, play, recording.record(play, recording.stage(project)), about)


def check(
    play: screenplay.Screenplay, recorded: cast.Cast, spoken: dict[str, float] | None = None
) -> dict[timeline.Edition, timeline.Plan]:
    """Both films' plans, each as long as the course asks for, each caption as long as reading takes.

    Raises:
        UserError: If one is not.
    """
    plans = {edition: timeline.plan(play, recorded, edition, spoken) for edition in LENGTHS}
    for edition, plan in plans.items():
        check_length(edition, plan.seconds)
        check_reading(plan)
    return plans


def build(
    project: Project, play: screenplay.Screenplay, recorded: kept.Recording, *, narrate: bool = False
) -> dict[str, Any]:
    """Render both films. Returns the receipt: by edition seconds, bytes and speed; the commit; the sources."""
    sources = digests(project, set(play.sources))
    spoken = narration.speak(play, project.build / "voice") if narrate else {}
    plans = check(play, recorded.terminal, spoken)
    made: dict[str, Any] = {}
    for edition, plan in plans.items():
        made[edition] = render(project, play, recorded.terminal, edition, plan, narrate)
    poster(project, play)
    receipt = {"editions": made, "sources": sources, "commit": recorded.commit, "changed": list(recorded.changed)}
    receipt |= {"spoken": spoken} if spoken else {}
    write_json(project.build / RECEIPT, receipt)
    return receipt


def up_to_date(project: Project) -> bool:
    """Whether both films are there, made from what is there now."""
    made = receipt(project)
    if made is None or "commit" not in made or stale(project, made["sources"]):
        return False
    videos = {edition: project.build / f"{edition}.mp4" for edition in LENGTHS}
    return all(path.is_file() and _sha256(path) == made["editions"][each]["sha256"] for each, path in videos.items())


def check_length(edition: timeline.Edition, seconds: float) -> None:
    """Refuse a film that is shorter or longer than the course asks for.

    Raises:
        UserError: With its length and the bounds.
    """
    least, most = LENGTHS[edition]
    if not least <= seconds <= most:
        raise UserError(f"the {edition} lasts {seconds:.0f} s, {least} to {most} are asked for: change its captions")


def check_reading(plan: timeline.Plan) -> None:
    """Refuse a caption that is gone before it is read.

    Raises:
        UserError: With its text and how long it stands.
    """
    for language in screenplay.LANGUAGES:
        for cue in subtitles.cues(plan, language):
            stands, least = (cue.end - cue.start) / timeline.RATE, SECONDS_A_WORD * max(15, len(cue.text.split()))
            if stands < least:
                text = cue.text.replace("\n", " ")
                raise UserError(f"the caption {text!r} stands for {stands:.1f} s, {least:.1f} s at least are needed")


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
    frames = track(frames, description=f"{project.name}: {edition}.mp4", total=rendering.pictures(plan))
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
        "sha256": _sha256(video),
        "times_real_time": round(plan.seconds / taken, 1),
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def captions(project: Project, edition: str, language: str, suffix: str) -> Path:
    """Where a caption file is committed."""
    return project.film / f"{edition}.{language}.{suffix}"


def poster(project: Project, play: screenplay.Screenplay) -> None:
    """The title card as a small PNG, as wide as a README shows it."""
    card = rendering.title_card(play.title, play.subtitle).resize(POSTER, Image.Resampling.LANCZOS)
    card = card.quantize(32, dither=Image.Dither.NONE)
    with atomic_path(project.film / "poster.png") as temporary:
        card.save(temporary, format="png", optimize=True)


def receipt(project: Project) -> dict[str, Any] | None:
    """What the last build made, or None."""
    return read_json_or_none(project.build / RECEIPT)
