"""Whether a video is the film of a recording: pictures at places that nobody knew before, beside those drawn anew.

Same plan, same pixels: so a video of black frames, of another project or of another recording differs wherever it is
looked at. A few scenes are drawn, not the whole film.
"""

import random
import secrets
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from shared.course.film import encoding, kept, screenplay, timeline
from shared.course.film.rendering import SIZE, Renderer
from shared.course.film.timeline import RATE, Edition, Plan, Scene
from shared.course.project import Project

LOOKED = 5  # pictures of each film
SMALL = (96, 54)  # pixels to which they are reduced before they are compared
ALIKE = 25.0  # largest difference of a reduced pixel, of 255: encoding makes one of 4 to 9
NEAR = 2  # frames
STILL_SECONDS = 60


def difference(project: Project, edition: Edition, made: dict[str, object]) -> str:
    """How the video in build/ differs from what the recording gives, or "".

    Args:
        made: The film's receipt.

    Raises:
        UserError: If there is no recording that fits the screenplay, or no video.
    """
    play = screenplay.load(project)
    folder = project.film if (project.film / kept.CAST).is_file() else project.build
    recorded = kept.load(folder, project, play).terminal
    plan = timeline.plan(play, recorded, edition, made.get("spoken"))  # type: ignore[arg-type]
    video = project.build / f"{edition}.mp4"
    seconds = encoding.probe(video).seconds
    if abs(seconds - plan.seconds) > 1:
        return f"{video.name} lasts {seconds:.0f} s, its recording's film {plan.seconds:.0f} s"
    draw = random.Random(secrets.randbits(64))
    renderer = Renderer(play, recorded, project.results)
    inner = [f for each in plan.scenes for f in range(each.start + NEAR, each.start + each.frames - NEAR)]
    for frame in sorted(draw.sample(inner, min(LOOKED, len(inner)))):
        if gap(still(video, frame), near(plan, frame, renderer)) > ALIKE:
            return f"{video.name} at {frame / RATE:.1f} s is not the picture that the recording gives"
    return ""


def gap(seen: Image.Image, expected: Sequence[Image.Image]) -> float:
    """Largest difference of a reduced pixel, 0 to 255, from the expected picture that is nearest."""
    return min(float(np.abs(reduced(seen) - reduced(each)).max()) for each in expected)


def near(plan: Plan, frame: int, renderer: Renderer) -> list[Image.Image]:
    """The pictures of a film around a frame; its scene alone is drawn. A player may be off by a frame."""
    scene: Scene = next(each for each in plan.scenes if frame < each.start + each.frames)
    first, found = scene.start, []
    for picture, count in renderer.frames(replace(plan, scenes=(scene,))):
        if first <= frame + NEAR and frame - NEAR < first + count:
            found.append(picture)
        first += count
    return found


def still(video: Path, frame: int) -> Image.Image:
    """The picture of a video at a frame: black, if it has none there."""
    place = ["-ss", f"{frame / RATE:.3f}", "-i", str(video), "-frames:v", "1"]
    colours = ["-vf", "scale=in_color_matrix=bt709:in_range=tv:out_range=pc", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    words = [encoding.ffmpeg(), "-hide_banner", "-loglevel", "error", *place, *colours, "-"]
    done = subprocess.run(words, capture_output=True, timeout=STILL_SECONDS, check=False)
    whole = 3 * SIZE[0] * SIZE[1]
    return Image.frombytes("RGB", SIZE, done.stdout[:whole].ljust(whole, b"\0"))


def reduced(picture: Image.Image) -> Float[np.ndarray, "high wide colours"]:
    """A picture small enough that encoding hardly changes it."""
    return np.asarray(picture.convert("RGB").resize(SMALL, Image.Resampling.BOX), dtype=float)
