"""The figure of an evaluation: its confusion matrix."""

from pathlib import Path
from typing import Any

import numpy as np

from shared.plotting import figure


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
