"""One style for every figure: readable by colour-blind people, labelled axes, PNG at 150 dpi, bytes that repeat."""

import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter
from PIL import Image

from shared.files import atomic_path

# Okabe and Ito 2008, "Color Universal Design": told apart in the three common kinds of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
NAMED = (FixedFormatter, FuncFormatter, StrCategoryFormatter)  # what writes names, not numbers, at an axis
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # colour is never the only difference between two curves

STYLE: dict[str, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.prop_cycle": cycler(color=list(COLOURS)),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@contextmanager
def panels(
    path: Path,
    count: int,
    *,
    title: str,
    xlabel: str,
    ylabel: str = "",
    size: tuple[float, float] = (3.4, 3.4),
    columns: int | None = None,
    share_y: bool = True,
    words: Path | None = None,
) -> Iterator[list[Axes]]:
    """Draw on `count` axes side by side with one y axis; the PNG is written atomically when the block ends well.

    With `words` the same drawing is written in Spanish too, beside it: name.png and name.es.png.

    Args:
        path: Where the PNG goes; parent folders are made.
        count: Number of panels.
        title: What the figure shows, as a sentence where possible.
        xlabel: With its unit in brackets, if it has one.
        ylabel: As `xlabel`.
        size: Width and height of one panel, in inches.
        columns: Panels in a row; by default all.
        share_y: False gives every panel a y axis of its own, to be labelled by the caller.
        words: TOML of English phrases and their Spanish, one table a figure's name, and one, `all`, for every figure.

    Raises:
        ValueError: If a text of the drawing has no Spanish.
    """
    with plt.rc_context(STYLE):
        across = columns or count
        down = -(-count // across)
        shape = (size[0] * across, size[1] * down)
        drawing, grid = plt.subplots(down, across, figsize=shape, sharey=share_y, squeeze=False)
        axes = list(grid.flat)
        for number, each in enumerate(axes):
            each.set_visible(number < count)
            each.set_xlabel(xlabel)
        axes[0].set_ylabel(ylabel)
        drawing.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        try:
            yield axes[:count]
            save(drawing, path)
            if words is not None:
                translate(drawing, words, path.stem)
                save(drawing, path.with_suffix(".es.png"))
        finally:
            plt.close(drawing)


@contextmanager
def figure(
    path: Path,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    size: tuple[float, float] = (6.4, 4.0),
    words: Path | None = None,
) -> Iterator[Axes]:
    """As `panels`, with one axes."""
    with panels(path, 1, title=title, xlabel=xlabel, ylabel=ylabel, size=size, words=words) as (axes,):
        yield axes


def legend_below(axes: Axes, *, title: str | None = None, columns: int = 4) -> None:
    """One legend under the whole figure, of what these axes show."""
    handles, labels = axes.get_legend_handles_labels()
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    drawing.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, title=title)


def translate(drawing: Figure, words: Path, name: str) -> None:
    """Put every text of a drawing into Spanish.

    Args:
        words: As for `panels`.
        name: The table of the figure in it.

    Raises:
        ValueError: If a text has two letters in a row and no phrase of the list.
    """
    listed = tomllib.loads(words.read_text(encoding="utf-8"))
    phrases = {**listed.get("all", {}), **listed.get(name, {})}
    ticks: dict[int, Axis] = {}  # panels that share an axis share its ticks
    for axis in (axis for axes in drawing.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.major.formatter, NAMED):
            ticks.setdefault(id(axis.major), axis)
    done: set[str] = set()
    for each in ticks.values():
        labels = each.get_ticklabels()
        said = [in_spanish(label.get_text(), phrases) for label in labels]
        each.set_ticks(each.get_majorticklocs(), said, fontsize=labels[0].get_fontsize())
        done |= set(said)
    for text in drawing.findobj(Text):
        if text.get_text() not in done:
            text.set_text(in_spanish(text.get_text(), phrases))


def in_spanish(text: str, phrases: Mapping[str, str]) -> str:
    """A text with every phrase of the list in Spanish, the longest first.

    >>> in_spanish("loss, rate 0.1", {"loss": "pérdida", "rate": "tasa"})
    'pérdida, tasa 0.1'

    Raises:
        ValueError: If it has two letters in a row and no phrase of the list.
    """
    if text in phrases:
        return phrases[text]
    order = sorted(phrases, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in order) or r"(?!)"
    said, count = re.subn(pattern, lambda match: phrases[match[0]], text)
    if not count and not text.startswith("$") and re.search(r"[^\W\d_]{2}", text):
        raise ValueError(f"no Spanish for {text!r}")
    return said


def label_ends(axes: Axes, *, gap: float = 1.15) -> None:
    """Name each labelled line at its right end, in its colour, instead of a legend; names keep a distance.

    Args:
        axes: Its limits are taken as final.
        gap: Least distance of two names, in heights of their font.
    """
    drawn = [line for line in axes.get_lines() if np.size(line.get_xdata())]
    lines = [line for line in drawn if not str(line.get_label()).startswith("_")]
    axes.autoscale_view()  # until somebody asks, limits lag behind what was plotted
    lines.sort(key=lambda line: float(_height(axes, line)))
    points = 72 * axes.get_window_extent().height / axes.figure.dpi  # height of the axes
    least = gap * float(plt.rcParams["font.size"]) / points
    places = spread([float(_height(axes, line)) for line in lines], least)
    for line, place in zip(lines, places, strict=True):
        end = float(np.nanmax(np.asarray(line.get_xdata(), dtype=float)))  # a line may turn back
        axes.annotate(str(line.get_label()), (end, place), xycoords=("data", "axes fraction"), xytext=(5, 0),
                      textcoords="offset points", va="center", color=line.get_color(), fontsize="small",
                      annotation_clip=False)  # fmt: skip


def _height(axes: Axes, line: Any) -> float:
    """Where a line ends, from 0 at the foot of the axes to 1."""
    last = (float(np.asarray(line.get_xdata(), dtype=float)[-1]), float(np.asarray(line.get_ydata(), dtype=float)[-1]))
    return float(axes.transAxes.inverted().transform(axes.transData.transform(last))[1])


def spread(places: Sequence[float], least: float) -> list[float]:
    """Places in rising order moved apart to a least distance, each as little as possible: runs that touch are centred.

    >>> spread([0.5, 0.5, 0.9], 0.1)
    [0.45, 0.55, 0.9]
    """
    runs: list[list[float]] = []
    for place in places:
        runs.append([place])
        while len(runs) > 1 and _centre(runs[-1]) - _centre(runs[-2]) < least * (len(runs[-1]) + len(runs[-2])) / 2:
            last = runs.pop()
            runs[-1] += last
    return [
        round(_centre(run) + least * (number - (len(run) - 1) / 2), 9)
        for run in runs for number in range(len(run))
    ]  # fmt: skip


def _centre(places: Sequence[float]) -> float:
    return sum(places) / len(places)


def save(drawing: Figure, path: Path) -> None:
    """Write the PNG atomically, small by its 128 colours, without a date: the same data give the same bytes."""
    drawn = io.BytesIO()
    drawing.savefig(drawn, format="png")
    few = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        few.save(temporary, format="png", optimize=True, dpi=(STYLE["savefig.dpi"],) * 2)
