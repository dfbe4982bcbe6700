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
def figure(
    path: Path, *, title: str, xlabel: str, ylabel: str, panels: int = 1, size: tuple[float, float] = (6.4, 4.0)
) -> Iterator[Axes | list[Axes]]:
    """Draw in the block; the PNG is written atomically when it ends well.

    Args:
        path: Where the PNG goes; parent folders are made.
        title: What the figure shows, as a sentence where possible.
        xlabel: With its unit in brackets, if it has one. Shared by all panels, as is `ylabel`.
        ylabel: As `xlabel`.
        panels: Axes side by side with a shared y axis; with 1 the block gets the axes itself, else a list.
        size: Inches, for one panel.
    """
    with plt.rc_context(STYLE):
        drawing, axes = plt.subplots(1, panels, figsize=(size[0] * (1 + 0.7 * (panels - 1)), size[1]), sharey=True)
        listed: list[Axes] = [axes] if panels == 1 else list(axes)
        for each in listed:
            each.set_xlabel(xlabel)
        listed[0].set_ylabel(ylabel)
        drawing.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        try:
            yield listed[0] if panels == 1 else listed
            save(drawing, path)
        finally:
            plt.close(drawing)


def save(drawing: Figure, path: Path) -> None:
    """Write the PNG atomically and without a creation date, so that the same data give the same bytes."""
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, format="png", metadata={"Software": None})
