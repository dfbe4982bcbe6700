"""The figures of the study, from results/, and that of an evaluation (python -m projects.hf_finetune.figures)."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from projects.hf_finetune.config import ARMS
from shared.files import read_json
from shared.plotting import COLOURS, MARKERS, figure, label_ends, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")


def draw(results: Path) -> None:
    """Draw every figure into the folder of the CSV files."""
    arms_by_seed(results)
    learning(results)
    tensorboard(results)
    confusion_matrix(read_json(results / "report.json"), results / "confusion_matrix.png", words=WORDS)


def arms_by_seed(results: Path) -> None:
    """Test macro-F1 of each seed, the same seed joined over the arms; each arm's mean and deviation beside it."""
    runs = [row for row in read_csv(results / "runs.csv") if row["final"]]
    baselines = {row["baseline"]: row["macro_f1"] for row in read_csv(results / "baseline.csv")}
    title = "Does the same seed gain by AWP or mixout?"
    xlabel = "500 sentences; grey: a seed each; large marks: mean ± sd over seeds"
    with figure(results / "arms.png", title=title, xlabel=xlabel, ylabel="test macro-F1", words=WORDS) as axes:
        for seed in sorted({row["seed"] for row in runs}):
            scores = {row["arm"]: row["macro_f1"] for row in runs if row["seed"] == seed}
            places = [(x, scores[arm]) for x, arm in enumerate(ARMS) if arm in scores]
            axes.plot(*zip(*places, strict=True), color="#888888", linewidth=0.8, marker="o", markersize=3)
        for x, (arm, colour, marker) in enumerate(zip(ARMS, COLOURS, MARKERS, strict=False)):
            found = [row["macro_f1"] for row in runs if row["arm"] == arm]
            deviation = statistics.stdev(found) if len(found) > 1 else 0.0
            axes.errorbar(x + 0.12, statistics.mean(found), deviation, fmt=marker, ms=8, color=colour, capsize=3)
        for name, score in baselines.items():
            axes.axhline(score, color="#000000", linestyle=":", linewidth=1)
            axes.text(-0.35, score + 0.003, f"{name}, logistic regression", fontsize=9)
        axes.set_xticks(range(len(ARMS)), labels=ARMS)
        axes.set_xlim(-0.4, len(ARMS) - 0.6)


def learning(results: Path) -> None:
    """Validation loss after each epoch: the mean over seeds, and between which losses the seeds lie."""
    curves = read_csv(results / "curves.csv")
    title, ylabel = "Where does the validation loss end?", "cross-entropy (nats)"
    xlabel = "step (lines: mean over seeds; bands: their range)"
    with figure(results / "learning.png", title=title, xlabel=xlabel, ylabel=ylabel, words=WORDS) as axes:
        for arm, colour, marker in zip(ARMS, COLOURS, MARKERS, strict=False):
            steps = sorted({row["step"] for row in curves if row["arm"] == arm})
            losses = [[r["validation_loss"] for r in curves if (r["arm"], r["step"]) == (arm, s)] for s in steps]
            axes.fill_between(steps, list(map(min, losses)), list(map(max, losses)), color=colour, alpha=0.12)
            axes.plot(steps, list(map(statistics.mean, losses)), color=colour, marker=marker, label=arm)
        label_ends(axes)


def tensorboard(results: Path) -> None:
    """What TensorBoard shows of validation, of the four ways with seed 0."""
    curves = [row for row in read_csv(results / "curves.csv") if row["seed"] == 0]
    shown = {"validation_loss": "validation loss (nats)", "validation_macro_f1": "validation macro-F1"}
    look: dict[str, Any] = {"xlabel": "step", "size": (3.6, 3.2), "share_y": False, "words": WORDS}
    title = "What does TensorBoard show of four runs with seed 0?"
    with panels(results / "tensorboard.png", 2, title=title, **look) as drawn:
        for axes, name in zip(drawn, shown, strict=True):
            for arm, colour, marker in zip(ARMS, COLOURS, MARKERS, strict=False):
                x, y = zip(*((row["step"], row[name]) for row in curves if row["arm"] == arm), strict=True)
                axes.plot(x, y, color=colour, marker=marker, label=arm)
            axes.set_title(shown[name], fontsize=10)
        legend_below(drawn[0])


def confusion_matrix(found: dict[str, Any], path: Path, *, words: Path | None = None) -> None:
    """Counts in their cells, coloured by the share of the row: the diagonal is recall."""
    counts = np.array(found["confusion"])
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    label = f"predicted (test: {found['accuracy']:.1%} right, macro-F1 {found['macro_f1']:.3f})"
    title = "Which class is taken for which?"
    with figure(path, title=title, xlabel=label, ylabel="true", size=(5.2, 4.4), words=words) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(places := range(len(found["classes"])), labels=found["classes"])
        axes.grid(visible=False)
        for row in places:
            for column in places:
                colour = "white" if shares[row, column] > 0.5 else "black"
                text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=colour)


if __name__ == "__main__":
    draw(Path("projects/hf_finetune/results"))
