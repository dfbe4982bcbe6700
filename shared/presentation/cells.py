"""What a notebook's cell ends in: a table, a picture, a tagged number. Shown by Jupyter; outside it they do nothing.

A project's notebook.py therefore can be imported, checked and tested like any module, without Jupyter installed.
"""

import base64
import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError

DECIMAL = re.compile(r"[+−-]?[\d,]*\.\d+")
NUMBER = "application/vnd.cc0c2.number+json"  # how a tagged number is found again in an executed notebook


@dataclass(frozen=True)
class Number:
    """A number that the notebook states, under a name by which a fresh execution is compared with the committed one.

    Attributes:
        name: Unique in the notebook.
        value: As it is.
        form: A Python format for the reader.
        meaning: A few words beside it.
    """

    name: str
    value: float
    form: str = "g"
    meaning: str = ""

    def __str__(self) -> str:
        return format(self.value, self.form)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        text = f"**{self}**" + (f" · {self.meaning}" if self.meaning else "")
        return {
            "text/plain": str(self),
            "text/markdown": text,
            NUMBER: [{"name": self.name, "value": float(self.value)}],
        }


@dataclass(frozen=True)
class Table:
    """Rows under headings; `numbers` are tagged beside it.

    Attributes:
        headings: One a column.
        rows: Cells are shown with str(); a Number is also tagged.
        caption: What the table says, in a sentence.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    caption: str = ""

    @property
    def numbers(self) -> list[Number]:
        """The tagged cells."""
        return [cell for row in self.rows for cell in row if isinstance(cell, Number)]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "text/plain": "\n".join("  ".join(map(str, row)) for row in (self.headings, *self.rows)),
            "text/html": self._html(),
            NUMBER: [{"name": number.name, "value": float(number.value)} for number in self.numbers],
        }

    def _html(self) -> str:
        def line(cells: Iterable[object], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

        head, body = line(self.headings, "th"), "".join(line(row, "td") for row in self.rows)
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Picture:
    """A PNG of results/ with a text for those who cannot see it.

    Raises:
        UserError: If it is not there.
    """

    path: Path
    text: str

    def __post_init__(self) -> None:
        """Fail in the cell, not in the middle of Jupyter's display."""
        if not self.path.is_file():
            raise UserError(f"{self.path.name} is not in {self.path.parent.name}/")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": self.text, "image/png": base64.b64encode(self.path.read_bytes()).decode()}


def rows_of(
    data: Iterable[dict[str, Any]], *cells: Callable[[dict[str, Any]], object]
) -> tuple[tuple[object, ...], ...]:
    """One row for each record, one cell for each function of it."""
    return tuple(tuple(cell(record) for cell in cells) for record in data)


class Said(Number):
    """A number as a study's table says it, with its interval or its unit: the text is its meaning."""

    def __str__(self) -> str:
        return self.meaning


def viewed(
    name: str, headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", *, keys: int = 1
) -> Table:
    """A view of a study's table (`shared.study.Table.view`): each cell that begins with a decimal number is tagged.

    A number's name is the table's, its heading, and the first `keys` cells of its row, which tell the rows apart.
    """

    def cell(heading: str, text: str, row: Sequence[str]) -> object:
        found = DECIMAL.match(text)
        if found is None:
            return text
        value = float(found[0].replace(",", "").replace("−", "-"))
        return Said(f"{name}: {heading}, {', '.join(row[:keys])}", value, meaning=text)

    lines = ([cell(heading, text, row) for heading, text in zip(headings, row, strict=True)] for row in rows)
    return Table(tuple(headings), tuple(map(tuple, lines)), caption)
