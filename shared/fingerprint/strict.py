"""Reading that leaves no second interpretation: files that are files, JSON with one meaning, names that stay inside.

Whoever has a key (everybody has the demo key) can seal what they like, so a MAC that holds says nothing of the shape of
what it covers: `shaped` does, before anything reads it.
"""

import json
import math
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from shared.fingerprint.keys import NAME
from shared.fingerprint.verdicts import BrokenError, Verdict


@contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """A descriptor of a regular file that has this name only.

    A link is refused, because what it leads to can be exchanged without touching this folder.

    Raises:
        BrokenError: MISSING, or TAMPERED for a symbolic link, a hard link, a folder or a device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise BrokenError(Verdict.MISSING, f"{path.name} is not there", path) from None
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise BrokenError(Verdict.TAMPERED, f"{path.name} {reason}", path) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BrokenError(Verdict.TAMPERED, f"{path.name} is no regular file", path)
        if status.st_nlink > 1:
            raise BrokenError(Verdict.TAMPERED, f"{path.name} has {status.st_nlink} names: a hard link", path)
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most `largest` bytes.

    Raises:
        BrokenError: As `open_regular`, and TAMPERED for a larger file.
    """
    with open_regular(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
        raw = file.read(largest + 1)
    if len(raw) > largest:
        raise BrokenError(Verdict.TAMPERED, f"{path.name} is larger than {largest} bytes", path)
    return raw


def loads(raw: bytes, what: str) -> Any:
    """Parse JSON of which every reader must get the same value.

    Refused are duplicate keys (the first or the last may win), NaN and infinities, written as words or as 1e400 (no
    JSON), halves of a surrogate pair (no text), and what is not UTF-8.

    Raises:
        BrokenError: TAMPERED, with `what` in the reason.
    """

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the key {twice!r} stands twice")
        return found

    def constant(text: str) -> Any:
        raise ValueError(f"{text} is no JSON number")

    def decimal(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else constant(text)

    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=members, parse_constant=constant, parse_float=decimal)
        if b"\\ud" in raw.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"is not strict JSON: {error}"
        raise BrokenError(Verdict.TAMPERED, f"{what} {reason}") from None


def dumps(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: For NaN and infinities.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


Shape = type | list[Any] | dict[str, Any] | Callable[[Any], bool]


def shaped(value: Any, shape: Shape, what: str) -> None:
    """Refuse a parsed document that is not of the shape that its readers rely on.

    Args:
        shape: A type (int: a count from 0 to 2⁶³ − 1; bool is none), a list of one shape, a dict of the members that
            must be there (others may be), or a predicate.
        what: Stands in the reason.

    Raises:
        BrokenError: TAMPERED, with the member that is wrong.

    >>> shaped({"files": [{"path": "a"}]}, {"files": [{"path": str}]}, "the manifest")
    """

    def refuse(fits: bool) -> None:
        if not fits:
            raise BrokenError(Verdict.TAMPERED, f"{what} is malformed")

    if isinstance(shape, list):
        refuse(isinstance(value, list))
        for each in value:
            shaped(each, shape[0], what)
    elif isinstance(shape, dict):
        refuse(isinstance(value, dict))
        for name, inner in shape.items():
            shaped(value.get(name), inner, f"{what}, at {name},")
    elif shape is int:
        refuse(type(value) is int and 0 <= value < 2**63)
    elif isinstance(shape, type):
        refuse(isinstance(value, shape))
    else:
        refuse(shape(value))


def optional(shape: Shape) -> Shape:
    """The shape, or null, or nothing."""

    def fits(value: Any) -> bool:
        return value is None or _fits(value, shape)

    return fits


def values_of(shape: Shape) -> Shape:
    """A JSON object of any names, whose values all have the shape."""
    return lambda value: isinstance(value, dict) and all(_fits(each, shape) for each in value.values())


def _fits(value: Any, shape: Shape) -> bool:
    try:
        shaped(value, shape, "")
    except BrokenError:
        return False
    return True


def is_label(value: Any) -> bool:
    """Whether this may be part of a file's name: what run ids, teams and projects are."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def is_file_name(value: Any) -> bool:
    """Whether this names a file in the same folder."""
    return isinstance(value, str) and "/" not in value and unsafe_name(value) is None


JOINERS = "\u200c\u200d"  # zero-width (non-)joiners: Persian, Indic scripts and emoji are written with them


def unsafe_name(name: str) -> str | None:
    """Why a relative path cannot stand in a manifest, or None.

    >>> unsafe_name("shards/0.bin"), unsafe_name("../key"), unsafe_name("/etc/passwd")
    (None, "has a part '..'", 'is absolute')
    """
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "is absolute"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return f"has a part {part!r}"
    unseen = (character for character in name if character not in JOINERS)
    if "\\" in name or any(unicodedata.category(character).startswith("C") for character in unseen):
        return "has a backslash, a control character or a byte that is not UTF-8"
    return None


def colliding(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different paths that another file system or a reader takes for one.

    They differ by case, by Unicode's composed forms, or by joiners that nobody sees.

    Source: Unicode Standard, section 3.13, definition D145 (canonical caseless match).

    >>> colliding(["Model.bin", "a", "model.bin"])
    [('Model.bin', 'model.bin')]
    """
    seen: dict[str, str] = {}
    pairs = []
    for name in sorted(names):
        folded = fold(name)
        if folded in seen:
            pairs.append((seen[folded], name))
        seen.setdefault(folded, name)
    return pairs


def fold(name: str) -> str:
    """What is the same for all names that are taken for this one."""
    visible = "".join(character for character in name if character not in JOINERS)
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", visible).casefold())


def place_of(path: Path) -> Path:
    """Where a path is, wherever one looks from; links are not followed, since they are judged by where they stand."""
    return Path(os.path.normpath(path.absolute()))


def refuse_names(names: list[str]) -> None:
    """Refuse a list of paths that is unsafe, ambiguous or empty.

    Raises:
        BrokenError: TAMPERED, with the first path that is wrong.
    """
    if not names:
        raise BrokenError(Verdict.TAMPERED, "the manifest lists no file")
    for name in names:
        if reason := unsafe_name(name):
            raise BrokenError(Verdict.TAMPERED, f"the listed path {name!r} {reason}")
    if len(set(names)) < len(names):
        raise BrokenError(Verdict.TAMPERED, "the manifest lists a path twice")
    for one, other in colliding(names):
        raise BrokenError(
            Verdict.TAMPERED, f"the listed paths {one!r} and {other!r} differ by case or Unicode form only"
        )


def entries(directory: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(relative path, entry) of all that is below a folder, folders included and links not followed.

    Raises:
        BrokenError: TAMPERED for a folder that cannot be read.
    """
    waiting = [directory]
    while waiting:
        here = waiting.pop()
        try:
            listed = os.scandir(here)
        except OSError as error:
            raise BrokenError(Verdict.TAMPERED, f"{here.name} cannot be read ({error.strerror})", here) from None
        with listed as found:
            for entry in sorted(found, key=lambda each: each.name):
                yield PurePosixPath(Path(entry.path).relative_to(directory)).as_posix(), entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
