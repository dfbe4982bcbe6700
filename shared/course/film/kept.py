"""A film's recording beside its captions in projects/<name>/film/: the terminal, compressed, and what it shows.

    recording.cast.gz   what the terminal received (cast.py), without a date
    recording.json      the commit that was recorded, what was typed, digests of the files that the commands name

A clone renders its film from it without running the project. What the commands print of results/ has to be there still:
caption and picture would disagree. Code that changed since is named, and the film says which commit it shows.
"""

import gzip
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.course.film import cast, recording
from shared.course.film.screenplay import Screenplay
from shared.course.project import Project, digests, read_json_or_none, stale
from shared.errors import UserError
from shared.files import atomic_path, write_json

CAST, ABOUT = "recording.cast.gz", "recording.json"
LARGEST = 300_000  # bytes of the compressed recording
GIT_SECONDS = 30


@dataclass(frozen=True)
class Recording:
    """A recording and what it shows.

    Attributes:
        terminal: What the terminal received.
        commit: That was recorded; "+" at its end says that its files had been edited; "?" outside git.
        changed: Files of the project that the commands show and that differ now; none of results/.
    """

    terminal: cast.Cast
    commit: str
    changed: tuple[str, ...] = ()


def save(folder: Path, project: Project, play: Screenplay, recorded: cast.Cast, about: dict[str, Any]) -> None:
    """Write a recording and what `described` said of it before it was made.

    Raises:
        UserError: If it shows something private, or is too large to be committed.
    """
    recording.refuse_private("".join(event.data for event in recorded.events if event.kind == "o"), project.root)
    packed = gzip.compress(cast.text(recorded, title=play.title["es"]).encode(), mtime=0)
    if len(packed) > LARGEST:
        raise UserError(f"the recording has {len(packed):,} bytes, {LARGEST:,} are allowed: shorten what it prints")
    with atomic_path(folder / CAST) as temporary:
        temporary.write_bytes(packed)
    write_json(folder / ABOUT, about)


def load(folder: Path, project: Project, play: Screenplay) -> Recording:
    """The recording of that folder, if it still shows what the captions speak of.

    Raises:
        UserError: If there is none, or commands or results changed since.
    """
    about = read_json_or_none(folder / ABOUT)
    if about is None or not (folder / CAST).is_file():
        raise UserError(f"{project.name} has no recording yet: make demo-{project.name} ARGS=--keep makes one")
    changed = stale(project, about["shows"])
    lost = [name for name in changed if name.startswith("results/")]
    if lost or about["commands"] != commands(play):
        what = ", ".join(lost) or "a command"
        again = f"make demo-{project.name} ARGS=--keep records it again"
        raise UserError(f"{what} changed since commit {about['commit'][:10]} was recorded: {again}")
    try:
        text = gzip.decompress((folder / CAST).read_bytes()).decode()
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{CAST} of {project.name} cannot be read: {error}") from None
    return Recording(cast.parse(text, CAST), about["commit"], tuple(changed))


def keep(project: Project, play: Screenplay) -> None:
    """Put the last recording of build/ into the tree.

    Raises:
        UserError: If there is none, or it does not fit any more.
    """
    recorded = load(project.build, project, play).terminal
    about = read_json_or_none(project.build / ABOUT) or {}
    save(project.film, project, play, recorded, about)


def described(project: Project, play: Screenplay) -> dict[str, Any]:
    """What a recording that begins now will show: the commit, what is typed, and the files that it names."""
    return {"commit": commit(project), "commands": commands(play), "shows": digests(project, shown(project, play))}


def commands(play: Screenplay) -> dict[str, str]:
    """What is typed, by step."""
    return {step.id: step.command for step in play.steps}


def shown(project: Project, play: Screenplay) -> set[str]:
    """The project's files that the commands name, by their path in it, or the tables that they cut out of one
    ("README.md#answers"); figures are drawn anew and do not count.
    """
    named = re.compile(
        rf"(?:sed -n '/begin (?P<table>\w+)/,/end (?P=table)/p' )?projects/{project.name}/(?P<file>[\w./-]*\w)"
    )
    found = set()
    for step in play.steps:
        for match in named.finditer(step.command):
            if (project.folder / match["file"]).is_file():
                found.add(f"{match['file']}#{match['table']}" if match["table"] else match["file"])
    return found


def commit(project: Project) -> str:
    """The commit that is checked out, with "+" if its sources were edited; "?" where there is no git."""
    try:
        head = _git(project.root, "rev-parse", "HEAD")
        edited = _git(project.root, "status", "--porcelain", "--", "shared", f"projects/{project.name}")
    except (OSError, subprocess.SubprocessError):
        return "?"
    return head + ("+" if edited else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    return done.stdout.strip()
