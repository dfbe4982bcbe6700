"""The figures, from the CSV files in results/, without any training: `python -m projects.hf_finetune.figures`."""

import statistics
from pathlib import Path

from projects.hf_finetune.config import ARMS
from shared.plotting import COLOURS, MARKERS, figure
from shared.report import read_csv


def draw(results: Path) -> None:
    """Draw every figure into the folder of the CSV files."""
    arms_by_seed(results)
    learning(results)


def arms_by_seed(results: Path) -> None:
    """Test macro-F1 of each seed, the same seed joined over the arms; each arm's mean and deviation beside it."""
    runs = [row for row in read_csv(results / "runs.csv") if row["final"]]
    baselines = {row["baseline"]: row["macro_f1"] for row in read_csv(results / "baseline.csv")}
    title = "Does the same seed gain by AWP or mixout? (500 sentences)"
    with figure(results / "arms.png", title=title, xlabel="", ylabel="test macro-F1", size=(7.0, 4.4)) as axes:
        for seed in sorted({row["seed"] for row in runs}):
            scores = {row["arm"]: row["macro_f1"] for row in runs if row["seed"] == seed}
            places = [(x, scores[arm]) for x, arm in enumerate(ARMS) if arm in scores]
            axes.plot(*zip(*places, strict=True), color="#888888", linewidth=0.8, marker="o", markersize=3)
        for x, (arm, colour, marker) in enumerate(zip(ARMS, COLOURS, MARKERS, strict=False)):
            scores_of_arm = [row["macro_f1"] for row in runs if row["arm"] == arm]
            deviation = statistics.stdev(scores_of_arm) if len(scores_of_arm) > 1 else 0.0
            mean = statistics.mean(scores_of_arm)
            axes.errorbar(x + 0.12, mean, yerr=deviation, fmt=marker, markersize=8, color=colour, capsize=3)
        for name, score in baselines.items():
            axes.axhline(score, color="#000000", linestyle=":", linewidth=1)
            axes.text(-0.35, score + 0.003, f"{name}, logistic regression", fontsize=9)
        axes.set_xticks(range(len(ARMS)), labels=ARMS)
        axes.set_xlim(-0.4, len(ARMS) - 0.6)


def learning(results: Path) -> None:
    """Validation loss after each epoch: the mean over seeds, and between which losses the seeds lie."""
    curves = read_csv(results / "curves.csv")
    title = "Where does the validation loss end? (mean and range over seeds)"
    with figure(results / "learning.png", title=title, xlabel="step", ylabel="cross-entropy (nats)") as axes:
        for arm, colour, marker in zip(ARMS, COLOURS, MARKERS, strict=False):
            steps = sorted({row["step"] for row in curves if row["arm"] == arm})
            losses = [[r["validation_loss"] for r in curves if (r["arm"], r["step"]) == (arm, s)] for s in steps]
            axes.fill_between(steps, list(map(min, losses)), list(map(max, losses)), color=colour, alpha=0.12)
            axes.plot(steps, list(map(statistics.mean, losses)), color=colour, marker=marker, label=arm)
        axes.legend()


if __name__ == "__main__":
    draw(Path("projects/hf_finetune/results"))
