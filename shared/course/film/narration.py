"""Captions read aloud in Spanish by espeak-ng, where it is installed; a film without it is complete too."""

import shutil
import subprocess
import wave
from pathlib import Path

from shared.course.film.screenplay import Screenplay
from shared.course.film.timeline import RATE, Plan
from shared.errors import UserError

PROGRAM = "espeak-ng"
WORDS_A_MINUTE = 150
SECONDS_MOST = 60  # for one caption


def available() -> bool:
    """Whether the program is installed."""
    return shutil.which(PROGRAM) is not None


def speak(screenplay: Screenplay, folder: Path) -> dict[str, float]:
    """Write <number>.wav for each step into the folder. Returns the seconds of each by step id.

    Raises:
        UserError: If the program is not installed or fails.
    """
    if not available():
        raise UserError(f"--narrate needs {PROGRAM}; leave it out for a film with captions alone")
    folder.mkdir(parents=True, exist_ok=True)
    seconds = {}
    for step in screenplay.steps:
        path = voice_of(folder, step.id)
        command = [PROGRAM, "-v", "es", "-s", str(WORDS_A_MINUTE), "-w", str(path), "--", step.caption["es"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MOST, check=False)
        if done.returncode or not path.is_file():
            raise UserError(f"{PROGRAM} failed on step {step.id}: {done.stderr.strip()[-200:]}")
        with wave.open(str(path)) as voice:
            seconds[step.id] = voice.getnframes() / voice.getframerate()
    return seconds


def voice_of(folder: Path, step: str) -> Path:
    """The sound file of a step."""
    return folder / f"{step.replace('/', '-')}.wav"


def track(plan: Plan, folder: Path, path: Path) -> None:
    """Put every voice where its scene begins, with silence between, into one file as long as the film."""
    voices = [(scene, voice_of(folder, scene.step.id)) for scene in plan.scenes if scene.step]
    with wave.open(str(voices[0][1])) as first:
        shape = first.getparams()
    width = shape.sampwidth * shape.nchannels
    sound = bytearray(plan.frames * shape.framerate // RATE * width)
    for scene, file in voices:
        with wave.open(str(file)) as voice:
            data = voice.readframes(voice.getnframes())
        start = scene.start * shape.framerate // RATE * width
        sound[start : start + len(data)] = data[: len(sound) - start]
    with wave.open(str(path), "wb") as out:
        out.setparams(shape)
        out.writeframes(bytes(sound))
