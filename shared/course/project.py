"""Where a project keeps what is shown of it. Names from a command line end here, so that none can leave projects/."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError
from shared.report import blocks

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Project:
    """A discovered project.

    Attributes:
        name: Its folder's, below projects/.
        root: The repository's.
    """

    name: str
    root: Path = ROOT

    @property
    def folder(self) -> Path:
        """Its sources."""
        return self.root / "projects" / self.name

    @property
    def results(self) -> Path:
        """Its committed evidence."""
        return self.folder / "results"

    @property
    def film(self) -> Path:
        """Its film's recording, captions and poster, committed."""
        return self.folder / "film"

    @property
    def build(self) -> Path:
        """Where its video is built; ignored by git."""
        return self.root / "build" / "demo" / self.name

    @property
    def graded(self) -> Path:
        """Where its grade is written; ignored by git."""
        return self.root / "build" / "grade" / self.name

    @property
    def notebook_page(self) -> Path:
        """Its executed notebook as HTML; ignored by git."""
        return self.root / "build" / "notebook" / f"{self.name}.html"


def names(root: Path = ROOT) -> list[str]:
    """Every discovered project: a folder in projects/ with a __main__.py."""
    return sorted(path.parent.name for path in root.glob("projects/*/__main__.py"))


def find(name: str, root: Path = ROOT) -> Project:
    """The project of that name.

    Raises:
        UserError: If there is none, or the name is no name (a path, for one).
    """
    if not NAME.fullmatch(name) or name not in names(root):
        raise UserError(f"no project {name!r}; the projects are: {' '.join(names(root))}")
    return Project(name, root)


def inside(folder: Path, name: str) -> Path:
    """The path of a file below `folder`.

    Raises:
        UserError: If the name leaves the folder, or nothing is there.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{name}: leaves {folder.name}/")
    if not path.is_file():
        raise UserError(f"{name}: not in {folder.name}/")
    return path


def spanish_figure(path: Path) -> Path:
    """The Spanish one of a figure where there is one, else the figure."""
    found = path.with_suffix(".es.png")
    return found if found.is_file() else path


def digests(project: Project, names: set[str]) -> dict[str, str]:
    """SHA-256 of files of the project by their path in it, or of a table in one ("README.md#answers"); "" for what is
    not there.
    """
    found = {}
    for name in sorted(names):
        file, _, table = name.partition("#")
        path = project.folder / file
        content = path.read_bytes() if path.is_file() else None
        if content is not None and table:
            text = content.decode("utf-8")
            block = blocks(text).get(table)
            content = text[block.start : block.end].encode() if block else None
        found[name] = hashlib.sha256(content).hexdigest() if content is not None else ""
    return found


def stale(project: Project, recorded: dict[str, str]) -> list[str]:
    """Which of the files differ from when they were recorded."""
    now = digests(project, set(recorded))
    return [name for name, digest in recorded.items() if now[name] != digest]


def read_json_or_none(path: Path) -> dict | None:
    """A JSON object, or None if there is no file or it cannot be read: the caller says what that means."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
