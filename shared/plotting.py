"""One style for every figure: readable by colour-blind people, labelled axes, PNG at 150 dpi, bytes that repeat."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from cycler import cycler

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shared.files import atomic_path

# Okabe and Ito 2008, "Color Universal Design": told apart in the three common kinds of colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # colour is never the only difference between two curves

STYLE = {
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
) -> Iterator[list[Axes]]:
    """Draw on `count` axes side by side with one y axis; the PNG is written atomically when the block ends well.

    Args:
        path: Where the PNG goes; parent folders are made.
        count: Number of panels.
        title: What the figure shows, as a sentence where possible.
        xlabel: With its unit in brackets, if it has one.
        ylabel: As `xlabel`.
        size: Width and height of one panel, in inches.
        columns: Panels in a row; by default all.
        share_y: False gives every panel a y axis of its own, to be labelled by the caller.
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
        finally:
            plt.close(drawing)


@contextmanager
def figure(
    path: Path, *, title: str, xlabel: str, ylabel: str, size: tuple[float, float] = (6.4, 4.0)
) -> Iterator[Axes]:
    """As `panels`, with one axes."""
    with panels(path, 1, title=title, xlabel=xlabel, ylabel=ylabel, size=size) as (axes,):
        yield axes


def save(drawing: Figure, path: Path) -> None:
    """Write the PNG atomically and without a creation date, so that the same data give the same bytes."""
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, format="png", metadata={"Software": None})
