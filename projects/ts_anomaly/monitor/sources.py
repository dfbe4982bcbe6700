"""Rows of a stream: a file that grows (and is turned over), standard input, an answer of Prometheus."""

import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from projects.ts_anomaly.data.reading import LONGEST, Reader, Row
from shared.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where a file was read to.

    Attributes:
        inode: Number of the file, so that another one under its name is known.
        offset: Bytes behind the last whole line.
        line: Its number.
    """

    inode: int
    offset: int
    line: int


class Followed:
    """A CSV file's rows, old and new; None whenever nothing new is there, so that who follows can do other things.

    A line without its end is not read yet. A file that has become shorter, or another one under the same name, is
    read from its beginning.

    Args:
        path: The file.
        place: Where to go on.
        follow: Whether to wait for more at the end.
    """

    def __init__(self, path: Path, place: Place | None = None, *, follow: bool = False) -> None:
        self.path, self.follow = path, follow
        self.reader = Reader(str(path))
        self.place = Place(0, 0, 0)
        self._wanted = place

    def rows(self, pause: Callable[[], object] = lambda: time.sleep(0.2)) -> Iterator[Row | None]:
        """Rows, and None when there is nothing new.

        Args:
            pause: Waits between two looks.

        Raises:
            UserError: If the file cannot be read.
        """
        while True:
            try:
                with self.path.open("rb") as file:
                    yield from self._of(file)
            except FileNotFoundError:
                if not self.follow:
                    raise UserError(f"{self.path}: no such file") from None
            except OSError as error:
                raise UserError(f"{self.path}: cannot be read ({error.strerror})") from None
            if not self.follow:
                return
            yield None
            pause()

    def _of(self, file: BinaryIO) -> Iterator[Row | None]:
        """Lines of the file as it is now, from where we were if it is the same."""
        known = os.fstat(file.fileno())
        wanted, self._wanted = self._wanted, None
        if wanted is not None and wanted.inode == known.st_ino and wanted.offset <= known.st_size:
            self._head(file)
            self.place = wanted
            self.reader.line = wanted.line
        elif self.place.inode != known.st_ino or self.place.offset > known.st_size:
            self.reader, self.place = Reader(str(self.path)), Place(known.st_ino, 0, 0)
        file.seek(self.place.offset)
        while line := file.readline(LONGEST + 1):
            if not line.endswith(b"\n") and self.follow and len(line) <= LONGEST:
                return  # the rest of it is still to come
            found = list(self.reader.some(line.decode("utf-8-sig", "replace")))
            self.place = Place(known.st_ino, self.place.offset + len(line), self.reader.line)
            yield from found

    def _head(self, file: BinaryIO) -> None:
        """Read the heading again, since what follows means nothing without it."""
        while not self.reader.names and (line := file.readline(LONGEST + 1)):
            list(self.reader.some(line.decode("utf-8-sig", "replace")))


def from_stream(file: TextIO, seconds: float = 0.5) -> Iterator[Row | None]:
    """Rows of a pipe as they come; None when nothing came for a while."""
    reader = Reader("standard input")
    descriptor, rest = file.fileno(), b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        if not ready:
            yield None
            continue
        read = os.read(descriptor, 65_536)
        *lines, rest = (rest + read).split(b"\n") if read else [rest, b""]
        if len(rest) > LONGEST:
            raise UserError(f"standard input: a line has more than {LONGEST} characters")
        for line in lines:
            yield from reader.some(line.decode("utf-8-sig", "replace"))
        if not read:
            return
