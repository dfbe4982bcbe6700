"""A conversation on disk: one JSON file, whole at any moment, shared by several processes, repaired when spoilt."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from shared.errors import UserError
from shared.files import write_json

SCHEMA = 1
LOCK_SECONDS = 10.0
Role = Literal["user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """A message of one side.

    Attributes:
        sources: Titles of the passages that an answer was given with, those that it stands in first.
    """

    role: Role
    text: str
    sources: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """As a prompt repeats it."""
        return f"{'User' if self.role == 'user' else 'Assistant'}: {' '.join(self.text.split())}"


@dataclass
class Conversation:
    """Turns in the order in which they were said, kept in a file if there is one.

    Each turn is appended under a lock to what the file holds by then, so that two processes may talk into one file and
    lose nothing.

    Attributes:
        path: The file; None keeps the turns in memory alone.
        notice: What a person should know of how the file was opened; "" if nothing.
    """

    path: Path | None = None
    turns: list[Turn] = field(default_factory=list)
    notice: str = ""

    @classmethod
    def open(cls, path: Path) -> "Conversation":
        """The conversation in a file, or a new one.

        A file that is no conversation is put aside under another name, and `notice` says so.

        Raises:
            UserError: If the file cannot be read, is no text, or a newer program wrote it.
        """
        conversation = cls(path)
        with conversation._alone():
            conversation.turns, conversation.notice = _read(path)
        return conversation

    def say(self, *turns: Turn) -> None:
        """Append turns, here and in the file.

        Raises:
            UserError: If one holds half of a surrogate pair, or the file cannot be written.
        """
        for turn in turns:
            require_text(turn.text, f"what the {turn.role} said")
        if self.path is None:
            self.turns += turns
            return
        with self._alone():
            self.turns, notice = _read(self.path)
            self.notice = notice or self.notice
            self.turns += turns
            _write(self.path, self.turns)

    def forget(self) -> None:
        """Begin anew, in the file too."""
        self.turns = []
        if self.path is not None:
            with self._alone():
                _write(self.path, [])

    def export(self, path: Path) -> None:
        """Write a copy to another file."""
        _write(path, self.turns)

    def window(self, tokens: int, count: Callable[[str], int]) -> list[str]:
        """The latest turns, each whole, that together have at most so many tokens; the oldest first.

        Args:
            tokens: The budget.
            count: Tokens of a text, by the generator's own tokenizer.
        """
        lines: list[str] = []
        used = 0
        for turn in reversed(self.turns):
            used += count(f"{turn.line}\n")
            if used > tokens:
                break
            lines.insert(0, turn.line)
        return lines

    @property
    def topic(self) -> str:
        """Title of the first source of the latest answer that has one; "" before there is any."""
        return next((turn.sources[0] for turn in reversed(self.turns) if turn.sources), "")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        assert self.path is not None
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=LOCK_SECONDS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise UserError(f"{self.path} is held by another process for more than {LOCK_SECONDS:g} s") from None
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


def decoded(raw: bytes, place: str) -> str:
    """Text in UTF-8, with or without a byte order mark.

    Raises:
        UserError: If it is something else.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: no UTF-8 text (byte {error.start})") from None


def require_text(text: str, place: str) -> None:
    """Refuse half of a surrogate pair, which no UTF-8 file can hold.

    Raises:
        UserError: If there is one: JSON may write it, and bytes of the command line that are no UTF-8 come in as such.
    """
    for at, char in enumerate(text, start=1):
        if "\ud800" <= char <= "\udfff":
            raise UserError(f"{place}: character {at} is half of a surrogate pair, not text")


def _read(path: Path) -> tuple[list[Turn], str]:
    try:
        text = decoded(path.read_bytes(), str(path))
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        value = json.loads(text)
        if isinstance(value, dict) and isinstance(value.get("schema"), int) and value["schema"] > SCHEMA:
            raise UserError(
                f"{path} has schema {value['schema']}, this program knows {SCHEMA}: name another --conversation"
            )
        turns = _turns(value)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return [], _put_aside(path, str(error).splitlines()[0][:80])
    for number, turn in enumerate(turns, start=1):
        for each in (turn.text, *turn.sources):
            require_text(each, f"{path}, turn {number}")
    return turns, ""


def _turns(value: Any) -> list[Turn]:
    """Turns from a file's JSON; anything else than what `_write` writes is an error."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise ValueError(f"it is no conversation of schema {SCHEMA}")
    return [_turn(each) for each in value["turns"]]


def _turn(value: dict[str, Any]) -> Turn:
    role, text, sources = value["role"], value["text"], value["sources"]
    fits = role in ("user", "assistant") and isinstance(text, str) and isinstance(sources, list)
    if not fits or not all(isinstance(source, str) for source in sources):
        raise ValueError(f"a turn is malformed: {str(value)[:60]}")
    return Turn(role, text, tuple(sources))


def _put_aside(path: Path, reason: str) -> str:
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.replace(aside)
    return f"{path} could not be read ({reason}); it was kept as {aside.name} and a new conversation begun"


def _write(path: Path, turns: Sequence[Turn]) -> None:
    try:
        write_json(path, {"schema": SCHEMA, "turns": [asdict(turn) for turn in turns]})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
