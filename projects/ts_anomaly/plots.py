"""Figures of the results, in English and Spanish."""

from pathlib import Path
from typing import Any

import numpy as np

from projects.ts_anomaly.data.inject import kinds
from projects.ts_anomaly.tables import NAMES
from shared.plotting import COLOURS, MARKERS, figure, label_ends, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
SHOWN = ("contrast", "masked", "association", "sub-pca", "left profile", "linear", "random")


def main(out: Path) -> None:
    """Draw from the CSV files in `out`."""
    by_kind(out)
    memory(out)


def by_kind(out: Path) -> None:
    """AUC-PR of each kind, a panel a series."""
    rows = read_csv(out / "kinds.csv")
    names = sorted({row["series"] for row in rows})
    told: dict[str, Any] = {"title": "Injected anomalies, by kind", "xlabel": "AUC-PR", "size": (3.6, 5.2)}
    with panels(out / "kinds.png", len(names), words=WORDS, **told) as axes:
        for each, name in zip(axes, names, strict=True):
            each.set_title(name)
            for band in (0, 2, 4):  # so that the eye keeps to a kind
                each.axhspan(band - 0.5, band + 0.5, color="#F1F1F1", zorder=0)
            for place, detector in enumerate(SHOWN):
                own = next((row for row in rows if row["detector"] == detector and row["series"] == name), None)
                if own:
                    values = [own[kind] for kind in kinds("test")]
                    label = NAMES[detector].strip("*")
                    height = np.arange(len(values)) + 0.12 * (place - 3)
                    each.plot(values, height, MARKERS[place], color=COLOURS[place], label=label, markersize=5)
            each.set(xlim=(0, 1.02), ylim=(5.5, -0.5))
            each.set_yticks(range(len(kinds("test"))), kinds("test"))
        legend_below(axes[0], columns=3)


def memory(out: Path) -> None:
    """Peak memory of each attention against the number of tokens."""
    rows = read_csv(out / "memory.csv")
    told: dict[str, Any] = {
        "title": "Memory of attention against length",
        "xlabel": "tokens",
        "ylabel": "peak added [MB]",
    }
    with figure(out / "memory.png", words=WORDS, **told) as axes:
        for place, kind in enumerate(("full", "sliding", "linear")):
            own = [row for row in rows if row["attention"] == kind]
            tokens, sizes = [row["tokens"] for row in own], [max(row["mb"], 0.1) for row in own]
            axes.plot(tokens, sizes, MARKERS[place] + "-", color=COLOURS[place], label=kind)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        label_ends(axes)
