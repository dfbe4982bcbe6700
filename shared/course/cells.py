"""What a notebook's cell ends in: a table, a picture, a tagged number, or work that is done there and nowhere else.

A project's notebook.py therefore can be imported, checked and tested like any module, without Jupyter installed.
"""

import base64
import html
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import study
from shared.errors import UserError

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
class Shown(Number):
    """A number with all that stands beside it in its cell (0.9467 ± 0.0040), `text`."""

    text: str = ""

    def __str__(self) -> str:
        return self.text


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


def listed(data: Iterable[Any], cells: dict[str, Callable[[Any], object]], caption: str = "") -> Table:
    """A row for each record; under each heading a function of it."""
    return Table(tuple(cells), tuple(tuple(cell(record) for cell in cells.values()) for record in data), caption)


def declared(table: study.Table, rows: list[dict[str, Any]], caption: str = "") -> Table:
    """What a README shows of a declared table, in Spanish; a cell that opens with a number is tagged."""
    heads, lines = table.view(rows, "es")
    places = [[f"{table.name} {r}.{c}" for c in range(len(heads))] for r in range(len(lines))]
    cells = tuple(tuple(map(_tagged, each, line)) for each, line in zip(places, lines, strict=True))
    return Table(tuple(heads), cells, caption)


def _tagged(name: str, text: str) -> Shown | str:
    text = text.replace("`", "")
    opening = re.match(r"[+-]?\d[\d,]*(\.\d+)?", text)
    return Shown(name, float(opening[0].replace(",", "")), text=text) if opening else text


def live(work: Callable[..., object], *given: object) -> None:
    """Do work on what is given and show its result; whoever only imports the module waits for nothing.

    The numbers that come out are the machine's own, so they are not tagged: no fresh execution is compared with them.
    """
    if "ipykernel" in sys.modules:
        from IPython.display import display

        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # matrices are small here, and on a busy machine threads wait for each other
        display(work(*given))


def descend(parameters: Iterable[Any], loss: Callable[[int], Any], *, steps: int, rate: float) -> list[float]:
    """Losses of so many steps of AdamW.

    Args:
        parameters: torch's, that are to move.
        loss: From the number of a step, counted from 0, to a scalar of torch's.
    """
    import torch

    optimizer, losses = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=rate), []
    for step in range(steps):
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


@dataclass(frozen=True)
class Drawing:
    """A PNG that a cell has just drawn, with a text for those who cannot see it."""

    png: bytes
    text: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": self.text, "image/png": base64.b64encode(self.png).decode()}


def curves(
    lines: Mapping[str, Sequence[float]], *, title: str, xlabel: str, ylabel: str, x: Sequence[float] | None = None
) -> Drawing:
    """A small picture of a few curves, each named at its end.

    Args:
        lines: Heights by name.
        x: Their places; by default 1, 2, 3, …
    """
    from shared.plotting import figure, label_ends

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.png"
        with figure(path, title=title, xlabel=xlabel, ylabel=ylabel, size=(6.0, 3.0)) as axes:
            for name, heights in lines.items():
                axes.plot(x or range(1, len(heights) + 1), heights, label=name)
            label_ends(axes)
        return Drawing(path.read_bytes(), f"{title}: {', '.join(lines)}")
