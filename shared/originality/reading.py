"""Reading submissions: .py files, folders, code cells of notebooks. What is read is parsed, never run.

A file that does not parse keeps its text and a note; its tokens are compared all the same. A copy may lie where nobody
looks, so folders of installed packages and hidden ones are read too, unless they are as large as an environment;
whatever is left out or cut becomes a note.
"""

import ast
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared.errors import UserError
from shared.originality.notebooks import notebook_code
from shared.originality.text import Note, decode, parse

MAX_CHARACTERS = 6_000_000  # of one file that is compared; people's files are shorter
MAX_PARSED = 3_000_000  # of one file that is parsed: a tree takes two hundred times its text
MAX_BYTES = 50_000_000  # of one file that is read: a notebook carries its outputs, and a file may begin with comments
MAX_FILES = 20_000  # of one folder
OTHERS_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})  # and .anything
MOST_IN_OTHERS = 300  # files in one of these that are compared all the same: an environment has thousands
SUFFIXES = (".py", ".pyw", ".ipynb")


@dataclass(frozen=True)
class Source:
    """One file as it was read.

    Attributes:
        owner: Who hands it in; files of one owner are never compared with one another.
        name: Path below the owner's folder, with forward slashes.
        text: Decoded, newlines as line feeds; a notebook is its code cells under headings that are comments.
        tree: None when the text does not parse.
        notes: What a reader of the report must know.
    """

    owner: str
    name: str
    text: str
    tree: ast.Module | None
    notes: tuple[Note, ...] = ()

    @property
    def title(self) -> str:
        """Owner and name, as shown."""
        return f"{self.owner}/{self.name}" if self.name != self.owner else self.name

    @property
    def lines(self) -> int:
        """Lines of text."""
        return self.text.count("\n") + (not self.text.endswith("\n"))


def read(path: Path, owner: str | None = None) -> list[Source]:
    """Read a file, or every Python file and notebook below a folder, in the order of their names.

    What is left out of a folder is a note of its first file.

    Args:
        path: A .py file, a notebook or a folder. Links inside a folder are not followed.
        owner: Whose it is; by default the path's own name.

    Raises:
        UserError: If the path does not exist, cannot be read, or holds no Python.
    """
    owner = owner or path.resolve().name
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise UserError(f"{path} is not Python: give a .py file, a .ipynb notebook or a folder of them")
        return [read_file(path, owner, path.name)]
    if not path.is_dir():
        raise UserError(f"{path} does not exist; give a .py file, a .ipynb notebook or a folder of them")
    files, left_out = _chosen(path)
    if not files:
        raise UserError(f"{path} holds no .py file and no notebook; give the folder that has the code")
    if len(files) > MAX_FILES:
        raise UserError(f"{path} holds {len(files)} files, more than {MAX_FILES}; give a narrower folder")
    first, *others = [read_file(file, owner, file.relative_to(path).as_posix()) for file in files]
    return [replace(first, notes=(*left_out, *first.notes)), *others]


def read_all(paths: Iterable[Path]) -> list[Source]:
    """Read several owners' work, one path each; owners of the same name are told apart by their whole paths.

    Raises:
        UserError: As `read`, or if a path is given twice or lies inside another.
    """
    listed = list(paths)
    refuse_overlaps(listed)
    resolved = [path.resolve() for path in listed]
    names = [path.name for path in resolved]
    return [
        source
        for path, name in zip(listed, names, strict=True)
        for source in read(path, name if names.count(name) == 1 else path.as_posix())
    ]


def refuse_overlaps(paths: Sequence[Path]) -> None:
    """Make sure that no code is its own counterpart.

    Raises:
        UserError: If a path is given twice or lies inside another.
    """
    resolved = [path.resolve() for path in paths]
    for place, inner in enumerate(resolved):
        for outer in (*resolved[:place], *resolved[place + 1 :]):
            if inner == outer or outer in inner.parents:
                raise UserError(f"{paths[place]} is given twice, or lies inside {outer}; give each piece of code once")


def read_class(folder: Path) -> list[Source]:
    """Read a class: every file or folder directly below is one owner's work.

    Raises:
        UserError: If it is not a folder, or holds fewer than two pieces of work.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the one that has a folder or a file for each submission")
    entries = [
        entry
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".") and not entry.is_symlink() and (entry.is_dir() or entry.suffix in SUFFIXES)
    ]
    if len(entries) < 2:
        raise UserError(f"{folder} holds {len(entries)} submissions; at least two are needed")
    return [source for entry in entries for source in read(entry, entry.name)]


def read_file(path: Path, owner: str, name: str) -> Source:
    """Read one file; a notebook by its suffix.

    Raises:
        UserError: If it cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    notes = [Note("cut", detail=f"{MAX_BYTES:,}")] if len(data) > MAX_BYTES else []
    text = decode(data[:MAX_BYTES], notes)
    if path.suffix == ".ipynb":
        text = notebook_code(text, notes)
    return from_text(shortened(text, notes), owner, name, notes)


def shortened(text: str, notes: list[Note]) -> str:
    """A text of at most MAX_CHARACTERS: comments go first, since code may stand behind megabytes of them."""
    if len(text) <= MAX_CHARACTERS:
        return text
    text = "".join(
        line for line in text.splitlines(keepends=True) if line.strip() and not line.lstrip().startswith("#")
    )
    notes.append(Note("shortened"))
    if len(text) > MAX_CHARACTERS:
        notes.append(Note("cut", detail=f"{MAX_CHARACTERS:,}"))
    return text[:MAX_CHARACTERS]


def from_text(text: str, owner: str, name: str, notes: Iterable[Note] = ()) -> Source:
    """Parse a text; one that does not parse gets a note instead of a tree."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tree, problem = parse(text) if len(text) <= MAX_PARSED else (None, f"{len(text):,} > {MAX_PARSED:,}")
    said = [*notes, *([Note("unparsed", detail=problem)] if tree is None else [])]
    return Source(owner, name, text, tree, tuple(said))


def _chosen(folder: Path) -> tuple[list[Path], list[Note]]:
    """The files to compare, and what is left out."""
    own: list[Path] = []
    others: dict[str, list[Path]] = defaultdict(list)
    links = 0
    for file in _python_below(folder):
        place = file.relative_to(folder)
        foreign = next((n for n, part in enumerate(place.parts[:-1]) if _is_others(part)), None)
        if file.is_symlink():
            links += 1
        elif foreign is None:
            own.append(file)
        else:
            others[Path(*place.parts[: foreign + 1]).as_posix()].append(file)
    notes = [Note("links", detail=str(links))] if links else []
    for name, files in sorted(others.items()):
        if len(files) > MOST_IN_OTHERS:
            notes.append(Note("left out", detail=f"{name} ({len(files):,})"))
        else:
            own += files
    return sorted(own, key=lambda file: file.relative_to(folder).as_posix()), notes


def _is_others(name: str) -> bool:
    return name in OTHERS_FOLDERS or name.startswith(".")


def _python_below(folder: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=stop, followlinks=False):
        linked = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in linked)
        yield from (Path(root, name) for name in linked)
        for name in files:
            file = Path(root, name)
            if name.endswith(SUFFIXES) and (file.is_symlink() or file.is_file()):
                yield file
