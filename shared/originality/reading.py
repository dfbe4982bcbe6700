"""Reading submissions: .py files, folders, code cells of notebooks. What is read is parsed, never run.

A file that does not parse keeps its text and a note; its tokens are compared all the same.
"""

import ast
import io
import json
import os
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError

MAX_BYTES = 2_000_000  # of one file that is read; generated code and data tables are longer, people's files are not
MAX_NOTEBOOK_BYTES = 50_000_000  # a notebook carries its outputs: figures, tables
MAX_FILES = 20_000  # of one folder
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})
SUFFIXES = (".py", ".pyw", ".ipynb")


@dataclass(frozen=True, order=True)
class Note:
    """What a reader of the report must know about a file; `wording` has the sentences.

    Attributes:
        kind: `unparsed`, `too deep`, `cut`, `encoding`, `notebook`, `runs text` or `hidden code`.
        line: 1-based, 0 if it is about the whole file.
        detail: What the sentence quotes.
    """

    kind: str
    line: int = 0
    detail: str = ""


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
    files = sorted(_python_below(path), key=lambda file: file.relative_to(path).as_posix())
    if not files:
        raise UserError(f"{path} holds no .py file and no notebook; give the folder that has the code")
    if len(files) > MAX_FILES:
        raise UserError(f"{path} holds {len(files)} files, more than {MAX_FILES}; give a narrower folder")
    return [read_file(file, owner, file.relative_to(path).as_posix()) for file in files]


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
    limit = MAX_NOTEBOOK_BYTES if path.suffix == ".ipynb" else MAX_BYTES
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    notes = [Note("cut", detail=f"{limit:,}")] if len(data) > limit else []
    text = decode(data[:limit], notes)
    if path.suffix == ".ipynb":
        text = notebook_code(text, notes)
    return from_text(text, owner, name, notes)


def from_text(text: str, owner: str, name: str, notes: Iterable[Note] = ()) -> Source:
    """Parse a text; one that does not parse gets a note instead of a tree."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    tree, problem = parse(text)
    said = [*notes, *([Note("unparsed", detail=problem)] if tree is None else [])]
    return Source(owner, name, text, tree, tuple(said))


def parse(text: str) -> tuple[ast.Module | None, str]:
    """Parse without a word from the parser: the tree and an empty string, or None and the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text), ""
        except SyntaxError as error:
            return None, f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return None, str(error) or type(error).__name__


def decode(data: bytes, notes: list[Note]) -> str:
    """Decode by the file's coding line, else UTF-8, else Latin-1 with a note: no byte stops the comparison."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, LookupError, UnicodeDecodeError):
        notes.append(Note("encoding"))
        return data.decode("latin-1")


def notebook_code(text: str, notes: list[Note]) -> str:
    """Code cells in order, each under a comment with its number; magics and shell lines become comments."""
    try:
        cells = json.loads(text)["cells"]
        sources = [
            (number, _joined(cell["source"])) for number, cell in enumerate(cells) if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        notes.append(Note("notebook", detail=type(error).__name__))
        return text
    return "".join(f"# cell {number}\n{_without_magics(source)}\n" for number, source in sources)


def _joined(source: object) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, list):
        return "".join(str(line) for line in source)
    raise TypeError("a cell's source is neither text nor lines")


def _without_magics(source: str) -> str:
    if source.lstrip().startswith("%%"):
        return "\n".join(f"# {line}" for line in source.splitlines())
    return "\n".join(f"# {line}" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def _python_below(folder: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=stop, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith("."))
        for name in files:
            file = Path(root, name)
            if name.endswith(SUFFIXES) and not name.startswith(".") and not file.is_symlink() and file.is_file():
                yield file
