"""The figures, from the CSV files in results/: nothing is trained here.

python -m projects.adapters.plots
"""

import statistics
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from projects.adapters.config import FULL, method
from shared.plotting import COLOURS, MARKERS, STYLE, panels, save
from shared.report import read_csv

TASKS = {"trec": "TREC", "movie_reviews": "movie reviews", "ner-2": "synthetic entities, level 2"}
ORDER = ("bottleneck, m = 64", "parallel, m = 64", FULL, "from scratch")  # of the convergence figures
DASHES = ("-", "--", ":", "-.")
Rows = list[dict[str, Any]]


def draw(results: Path) -> None:
    """Draw every figure into the folder of the CSV files."""
    curves = read_csv(results / "curves.csv")
    loss = "Training loss (mean of the steps between two points; bands: the seeds)"
    converge(curves, "loss", results / "convergence_loss.png", title=loss, ylabel="cross-entropy (nats)")
    score = "Score on validation texts while training (bands: the seeds)"
    converge(curves, "score", results / "convergence_score.png", title=score, ylabel="accuracy, or entity F1")
    parameters_and_accuracy(
        read_csv(results / "parameters_accuracy.csv"),
        read_csv(results / "runs.csv"),
        results / "parameters_accuracy.png",
    )
    initialisations(read_csv(results / "init.csv"), results / "init.png")


def converge(
    curves: Rows,
    column: str,
    path: Path,
    *,
    title: str,
    ylabel: str,
    tasks: dict[str, str] = TASKS,
    names: tuple[str, ...] = ORDER,
) -> None:
    """One panel a task: mean over seeds by step, with a band from the lowest to the highest seed."""
    shown = [task for task in tasks if any(p["dataset"] == task for p in curves)]
    with panels(path, len(shown), title=title, xlabel="step", ylabel=ylabel, size=(3.6, 3.4)) as drawn:
        for axes, task in zip(drawn, shown, strict=True):
            for index, name in enumerate(names):
                _band(axes, [p for p in curves if (p["dataset"], p["method"]) == (task, name)], column, index, name)
            axes.set_title(tasks[task])
            if column == "loss":
                axes.set_yscale("log")
        drawn[0].legend(fontsize=8)


def _band(axes: Axes, points: Rows, column: str, index: int, label: str) -> None:
    if not points:
        return
    steps = sorted({p["step"] for p in points})
    values = [[p[column] for p in points if p["step"] == step] for step in steps]
    style: dict[str, Any] = {"color": COLOURS[index], "linestyle": DASHES[index], "label": label}
    axes.plot(steps, [statistics.mean(v) for v in values], **style)
    axes.fill_between(steps, [min(v) for v in values], [max(v) for v in values], color=COLOURS[index], alpha=0.15)


def parameters_and_accuracy(summary: Rows, runs: Rows, path: Path) -> None:
    """Trained parameters against the distance to full fine-tuning: runs as small dots, means as large marks with sd.

    From scratch is far below the rest: it is named at the lower edge instead of squeezing the others together.
    """
    title = "Trained parameters against accuracy (points above or below full fine-tuning's mean)"
    looks = list(dict.fromkeys(row["method"] for row in summary if row["dataset"] == "trec"))  # in both panels alike
    with panels(path, 2, title=title, xlabel="trained parameters", ylabel="points", size=(4.4, 4.0)) as drawn:
        for axes, task in zip(drawn, ("trec", "movie_reviews"), strict=True):
            mine = [row for row in summary if row["dataset"] == task]
            full = next(row["score"] for row in mine if row["method"] == FULL)
            axes.axhline(0, color="#000000", linewidth=0.8)
            axes.axhspan(-0.5, 0.5, color="#000000", alpha=0.06)
            axes.set_xscale("log")
            for row in mine:
                if row["method"] != "from scratch":
                    _points(axes, row, runs, full, looks.index(row["method"]))
                    continue
                below = f"↓ from scratch: {100 * (row['score'] - full):+.1f} points"
                axes.annotate(below, (0.03, 0.03), xycoords="axes fraction", fontsize=8)
            axes.set_title(TASKS[task])
            axes.legend(fontsize=7, loc="upper left")
            axes.margins(x=0.15, y=0.45)


def _points(axes: Axes, row: dict[str, Any], runs: Rows, full: float, index: int) -> None:
    named = (row["dataset"], row["method"])
    mine = [r for r in runs if r["final"] and (r["dataset"], method(r["arm"], r["size"])) == named]
    x = row["trained"] * (1.0 + 0.13 * (index % 3 - 1))  # methods of equal size stand side by side
    axes.scatter([x] * len(mine), [100 * (r["score"] - full) for r in mine], s=8, color=COLOURS[index], alpha=0.5)
    mark: dict[str, Any] = {"marker": MARKERS[index], "markersize": 7, "color": COLOURS[index], "capsize": 3}
    mark |= {"linestyle": "none", "label": row["method"]}
    axes.errorbar(x, 100 * (row["score"] - full), yerr=100 * row["score_sd"], **mark)


def initialisations(rows: Rows, path: Path) -> None:
    """Three panels with an axis of their own: initial deviation, loss after the steps, share of seeds that diverged."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    rates = sorted({row["lr"] for row in rows})
    labels = ("initial deviation from the base (relative)", "loss after 50 steps (nats)", "diverged (share of 5 seeds)")
    with plt.rc_context(STYLE):
        drawing, axes = plt.subplots(1, 3, figsize=(11, 3.6))
        for index, setting in enumerate(settings):
            mine = [row for row in rows if row["setting"] == setting]
            start = [row["deviation"] for row in mine if row["lr"] == rates[0]]
            axes[0].scatter([index] * len(start), start, color=COLOURS[index], marker=MARKERS[index])
            for place, rate in enumerate(rates):
                cells = [row for row in mine if row["lr"] == rate]
                x = place + 0.18 * (index - 1.5)
                label = setting if place == 0 else None
                look = {"color": COLOURS[index], "marker": MARKERS[index], "label": label}
                axes[1].scatter([x] * len(cells), [row["loss_after"] for row in cells], s=22, **look)
                axes[2].bar(x, statistics.mean(r["diverged"] for r in cells), width=0.16, color=COLOURS[index])
        axes[0].set_xticks(range(len(settings)), labels=[s.replace(", ", ",\n") for s in settings], fontsize=8)
        axes[1].legend(fontsize=8, title="drawn", title_fontsize=8)
        axes[2].set_ylim(0, 1.05)
        for panel, label in zip(axes, labels, strict=True):
            panel.set_title(label, fontsize=9)
        for panel in axes[1:]:
            panel.set_xticks(range(len(rates)), labels=[f"{rate:g}" for rate in rates])
            panel.set_xlabel("learning rate (AdamW)")
        try:
            save(drawing, path)
        finally:
            plt.close(drawing)


if __name__ == "__main__":
    draw(Path("projects/adapters/results"))
