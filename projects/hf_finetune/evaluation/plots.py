"""The figures of an evaluation: confusion matrix and reliability diagram."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.plotting import COLOURS, figure


def confusion_matrix(found: dict[str, Any], path: Path) -> None:
    """Counts in their cells, coloured by the share of the row: the diagonal is recall."""
    counts = np.array(found["confusion"])
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    title = f"Test split: {found['accuracy']:.1%} right, macro-F1 {found['macro_f1']:.3f}"
    with figure(path, title=title, xlabel="predicted", ylabel="true", size=(5.2, 4.4)) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(found["classes"]))
        axes.set_xticks(places, labels=found["classes"])
        axes.set_yticks(places, labels=found["classes"])
        axes.grid(visible=False)
        for row in places:
            for column in places:
                colour = "white" if shares[row, column] > 0.5 else "black"
                text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=colour)


def reliability(found: dict[str, Any], path: Path) -> None:
    """Share of right answers by confidence; the diagonal is perfect calibration, a bar's width says nothing."""
    held = found["calibration"]
    bins = len(held["counts"])
    filled = [i for i in range(bins) if held["counts"][i]]
    title = f"Calibration on the test split (ECE {found['ece']:.3f})"
    with figure(path, title=title, xlabel="confidence", ylabel="share of right answers", size=(5.2, 4.4)) as axes:
        axes.plot([0, 1], [0, 1], color="#000000", linestyle=":", label="perfect")
        middles = [(i + 0.5) / bins for i in filled]
        heights = [held["accuracy"][i] for i in filled]
        axes.bar(middles, heights, width=0.9 / bins, color=COLOURS[0], alpha=0.75, label="observed")
        axes.plot(
            [held["confidence"][i] for i in filled],
            heights,
            color=COLOURS[1],
            marker="s",
            linestyle="none",
            label="mean",
        )
        for i in filled:
            axes.text((i + 0.5) / bins, 0.02, str(held["counts"][i]), ha="center", fontsize=8, color="white")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.05)
        axes.legend(loc="upper left")
