"""The figures, from the CSV files in results/: nothing is trained here.

python -m projects.hf_finetune.figures
"""

import statistics
from pathlib import Path
from typing import Any

from projects.hf_finetune.config import ARMS
from shared.plotting import COLOURS, MARKERS, figure
from shared.report import read_csv


def draw(results: Path) -> None:
    """Draw every figure into the folder of the CSV files."""
    runs = [row for row in read_csv(results / "runs.csv") if row["final"]]
    baseline = read_csv(results / "baseline.csv")[0]
    arms_by_seed(runs, baseline, results / "arms.png")
    learning(read_csv(results / "curves.csv"), results / "learning.png")


def arms_by_seed(runs: list[dict[str, Any]], baseline: dict[str, Any], path: Path) -> None:
    """Test macro-F1 of each seed, the same seed joined over the arms; each arm's mean and deviation beside it."""
    title = "The same seed under four ways to train (500 sentences)"
    with figure(path, title=title, xlabel="", ylabel="test macro-F1", size=(7.0, 4.4)) as axes:
        for seed in sorted({row["seed"] for row in runs}):
            mine = {row["arm"]: row["macro_f1"] for row in runs if row["seed"] == seed}
            places = [(x, mine[arm]) for x, arm in enumerate(ARMS) if arm in mine]
            axes.plot(*zip(*places, strict=True), color="#888888", linewidth=0.8, marker="o", markersize=3)
        for index, arm in enumerate(ARMS):
            values = [row["macro_f1"] for row in runs if row["arm"] == arm]
            if values:
                deviation = statistics.stdev(values) if len(values) > 1 else 0.0
                mark: dict[str, Any] = {
                    "marker": MARKERS[index],
                    "markersize": 8,
                    "color": COLOURS[index],
                    "capsize": 3,
                }
                axes.errorbar(index + 0.12, statistics.mean(values), yerr=deviation, linestyle="none", **mark)
        axes.axhline(baseline["macro_f1"], color="#000000", linestyle=":")
        axes.annotate(
            "TF-IDF, logistic regression", (0.02, baseline["macro_f1"]), xycoords=("axes fraction", "data"), va="bottom"
        )
        axes.set_xticks(range(len(ARMS)), labels=ARMS)
        axes.set_xlim(-0.4, len(ARMS) - 0.6)
        axes.margins(y=0.15)


def learning(curves: list[dict[str, Any]], path: Path) -> None:
    """Validation loss after each epoch: the mean over seeds, and between which losses the seeds lie."""
    title = "Validation loss (mean and range over seeds)"
    with figure(path, title=title, xlabel="step", ylabel="cross-entropy (nats)") as axes:
        for index, arm in enumerate(ARMS):
            steps = sorted({row["step"] for row in curves if row["arm"] == arm})
            losses = [[r["validation_loss"] for r in curves if (r["arm"], r["step"]) == (arm, s)] for s in steps]
            if losses:
                lower, upper = [min(each) for each in losses], [max(each) for each in losses]
                axes.fill_between(steps, lower, upper, color=COLOURS[index], alpha=0.12)
                means = [statistics.mean(each) for each in losses]
                axes.plot(steps, means, color=COLOURS[index], marker=MARKERS[index], label=arm)
        axes.legend()


if __name__ == "__main__":
    draw(Path("projects/hf_finetune/results"))
