"""What was accepted is on disk before it is acknowledged; a state makes the journal before it needless."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from projects.ts_anomaly.data.reading import Row
from shared.files import write_text


class Journal:
    """Rows of one series since its last state, a line for what came together, appended and synced.

    What came together is judged together, also when it is read again: the same bits come out. A half line at the end
    is what a killed process was writing: nobody was told that it was accepted.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, 0

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows that came together, and wait until the disk has them."""
        if not rows:
            return
        values = [[row.time, *(None if math.isnan(value) else value for value in row.values)] for row in rows]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(values)}\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows += len(rows)

    def read(self) -> Iterator[list[Row]]:
        """Rows as they came, those that came together in one list; what is cut off at the end is removed, so that more
        can follow.
        """
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(self.path, whole)
        for line in whole.splitlines():
            rows = [_row(*each) for each in json.loads(line)]
            self.rows += len(rows)
            yield rows

    def clear(self) -> None:
        """Begin anew: a state holds what was in it."""
        write_text(self.path, "")
        self.rows = 0


def _row(time: float, *values: float | None) -> Row:
    return Row(float(time), tuple(math.nan if value is None else float(value) for value in values))
