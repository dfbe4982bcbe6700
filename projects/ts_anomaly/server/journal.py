"""What was accepted is on disk before it is acknowledged; a state makes the journal before it needless."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from projects.ts_anomaly.data.reading import Row
from shared.errors import UserError
from shared.files import write_text


class Journal:
    """Rows of one series since its last state, a line for what came together, appended and synced.

    What came together is judged together, also when it is read again: the same bits come out. A half line at the end
    is what a killed process was writing: nobody was told that it was accepted. An empty list behind rows says that
    their alerts were handed over: without it, whoever reads them again hands over those of the last rows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows that came together, and wait until the disk has them.

        Raises:
            OSError: If it does not take them; nothing of them is left in the file then.
        """
        if rows:
            self._write(_line(rows))
            self.rows += len(rows)

    def told(self) -> None:
        """The alerts of the last rows were handed over. Where the disk takes no mark, they are handed over again."""
        with suppress(OSError):
            self._write(_line([]))

    def _write(self, line: bytes) -> None:
        with self.path.open("ab") as file:
            before = file.tell()
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError:  # a full disk takes a part of it: what comes next must not stand behind half a line
            os.truncate(self.path, before)
            raise

    def read(self) -> Iterator[list[Row]]:
        """Rows as they came, those that came together in one list, an empty one where alerts were handed over; what is
        cut off at the end is removed, so that more can follow.

        Raises:
            UserError: If a line in the middle is no line of ours.
        """
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(self.path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                rows = [_row(*each) for each in json.loads(line)]
            except (ValueError, TypeError, OverflowError, RecursionError):
                raise UserError(f"{self.path}, line {number}: is damaged; mend or remove it to go on") from None
            self.rows += len(rows)
            yield rows

    def replace(self, rows: Sequence[Row] = ()) -> None:
        """Begin anew with these rows: what else was in it is needless now, or held by a state."""
        write_text(self.path, _line(rows).decode() if rows else "")
        self.rows = len(rows)


def _line(rows: Sequence[Row]) -> bytes:
    values = [[row.time, *(None if math.isnan(value) else value for value in row.values)] for row in rows]
    return f"{json.dumps(values)}\n".encode()


def _row(time: float, *values: float | None) -> Row:
    return Row(float(time), tuple(math.nan if value is None else float(value) for value in values))
