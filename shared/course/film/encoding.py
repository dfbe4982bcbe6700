"""Frames to MP4 through the ffmpeg that imageio-ffmpeg brings, and what a finished file says of itself."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

from shared.course.film.timeline import RATE
from shared.errors import UserError
from shared.files import atomic_path

PROBE_SECONDS = 60


@dataclass(frozen=True)
class Film:
    """What a video file says of itself: seconds, chapter titles, and its size in bytes."""

    seconds: float
    chapters: tuple[str, ...]
    size: int


def encode(
    path: Path,
    frames: Iterator[tuple[Image.Image, int]],
    size: tuple[int, int],
    metadata: str,
    sound: Path | None = None,
) -> None:
    """Write an H.264 file atomically.

    Args:
        path: Ends in .mp4.
        frames: Pictures with the number of frames for which each stands.
        size: Width and height, both even.
        metadata: Title and chapters, in ffmpeg's format.
        sound: A WAV file, or none.

    Raises:
        UserError: If ffmpeg fails; its last line is quoted.
    """
    with tempfile.TemporaryDirectory() as scratch, atomic_path(path) as temporary:
        chapters, complaints = Path(scratch) / "chapters.txt", Path(scratch) / "ffmpeg.log"
        chapters.write_text(metadata, encoding="utf-8")
        with complaints.open("wb") as log:
            command = _command(temporary, size, chapters, sound)
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
            assert process.stdin is not None
            try:
                for picture, count in frames:
                    raw = picture.tobytes()
                    for _ in range(count):
                        process.stdin.write(raw)
            except BrokenPipeError:
                pass  # ffmpeg has ended; its log says why
            except BaseException:  # Ctrl-C too: no encoder is left running
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                code = process.wait()
        if code:
            raise UserError(f"ffmpeg ended with {code}: {complaints.read_text(errors='replace').strip()[-300:]}")


def _command(path: Path, size: tuple[int, int], chapters: Path, sound: Path | None) -> list[str]:
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(RATE), "-i", "-"]
    voice = ["-i", str(sound), "-map", "2:a", "-c:a", "aac", "-b:a", "64k"] if sound else []
    picture = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "animation", "-crf", "24", "-g", str(20 * RATE)]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-colorspace", "bt709"]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]
    inputs = [*raw, "-i", str(chapters), *voice[:2]]
    maps = ["-map", "0:v", "-map_metadata", "1", "-map_chapters", "1", *voice[2:]]
    return [ffmpeg(), "-hide_banner", "-loglevel", "error", "-y", *inputs, *maps, *picture, *colours, *exact,
            "-f", "mp4", str(path)]  # fmt: skip


def ffmpeg() -> str:
    """The program.

    Raises:
        UserError: If this system has none.
    """
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError(f"no ffmpeg: {str(error).splitlines()[0]}") from None


def probe(path: Path) -> Film:
    """Read a video's length and chapters.

    Raises:
        UserError: If it is not there or no video.
    """
    if not path.is_file():
        raise UserError(f"{path.name} is not there")
    done = subprocess.run(
        [ffmpeg(), "-hide_banner", "-i", str(path)], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", done.stderr)
    if length is None:
        raise UserError(f"{path.name} is no video that ffmpeg can read")
    hours, minutes, seconds = map(float, length.groups())
    titles = re.findall(r"Chapter #[^\n]*\n\s*Metadata:\n\s*title\s*: ([^\n]*)", done.stderr)
    return Film(3600 * hours + 60 * minutes + seconds, tuple(titles), path.stat().st_size)
