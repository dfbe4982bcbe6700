"""The figures, from the CSV files in results/, without any training: `python -m projects.adapters.plots`."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from projects.adapters.config import FULL, method
from projects.adapters.initialisation import RATES, SETTINGS
from shared.plotting import COLOURS, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
TASKS = {"trec": "TREC", "movie_reviews": "movie reviews", "ner-2": "entities, level 2"}
DASHES = {FULL: ":", "bottleneck, m = 64": "-", "parallel, m = 64": "--", "from scratch": "-."}  # who converges


def draw(out: Path) -> None:
    """Draw every figure into the folder of the CSV files."""
    converge(out, "loss", "How fast does the training loss fall?", "cross-entropy (nats)")
    converge(out, "score", "How fast does the validation score rise?", "accuracy, or entity F1")
    parameters_and_accuracy(out)
    initialisations(out)


def converge(out: Path, column: str, title: str, ylabel: str) -> None:
    """A panel a task: mean over seeds by step, with a band from the lowest to the highest seed."""
    curves, path, title = read_csv(out / "curves.csv"), out / f"convergence_{column}.png", f"{title} (bands: seeds)"
    with panels(path, len(TASKS), title=title, xlabel="step", ylabel=ylabel, size=(2.45, 3.5), words=WORDS) as drawn:
        for axes, (task, name) in zip(drawn, TASKS.items(), strict=True):
            axes.set(title=name, yscale="log" if column == "loss" else "linear")
            for (arm, dash), colour in zip(DASHES.items(), COLOURS, strict=False):
                points = [p for p in curves if (p["dataset"], p["method"]) == (task, arm)]
                steps = sorted({p["step"] for p in points})
                values = [[p[column] for p in points if p["step"] == step] for step in steps]
                axes.plot(steps, list(map(statistics.mean, values)), color=colour, linestyle=dash, label=arm)
                axes.fill_between(steps, list(map(min, values)), list(map(max, values)), color=colour, alpha=0.15)
        legend_below(drawn[0], columns=2)


def parameters_and_accuracy(out: Path) -> None:
    """A panel a task, a line a method with its share of trained parameters: what its seeds lose to full fine-tuning."""
    summary, runs = read_csv(out / "parameters_accuracy.csv"), read_csv(out / "runs.csv")
    shares = {row["method"]: row["share"] for row in summary if row["dataset"] == "trec"}
    title = "How much accuracy do fewer trained parameters cost?"
    label = "points to full fine-tuning\n(dots: seeds; bar: mean)"
    with panels(out / "parameters_accuracy.png", 2, title=title, xlabel=label, size=(3.7, 3.6), words=WORDS) as drawn:
        for axes, task in zip(drawn, ("trec", "movie_reviews"), strict=True):
            final = [r for r in runs if r["final"] and r["dataset"] == task]
            scores = {name: [r["score"] for r in final if method(r["arm"], r["size"]) == name] for name in shares}
            gaps = [[100 * (score - statistics.mean(scores[FULL])) for score in scores[name]] for name in shares]
            lines(axes, gaps, zero=0.0, limits=(-4.0, 1.2))
            axes.set_title(TASKS[task])
        drawn[0].set_yticks(
            range(len(shares)), labels=[f"{name}\n({share:.1%})".replace("`", "") for name, share in shares.items()]
        )


def initialisations(out: Path) -> None:
    """A panel for the deviation and for the loss at each rate, a line a setting: a dot a seed."""
    rows = read_csv(out / "init.csv")
    title = "Do adapters that start away from the base still learn? (dots: seeds; bar: mean)"
    with panels(
        out / "init.png", 1 + len(RATES), title=title, xlabel="", size=(3.7, 2.3), columns=2, words=WORDS
    ) as drawn:
        for axes, rate in zip(drawn, (None, *RATES), strict=True):
            column = "loss_after" if rate else "deviation"
            found = [[r[column] for r in rows if r["setting"] == s and r["lr"] == (rate or RATES[0])] for s in SETTINGS]
            lines(axes, found, zero=math.log(6) if rate else 0.0, limits=(-0.1, 2.1))
            axes.set_title(f"loss after 50 steps, rate {rate:g}" if rate else "deviation at the start", fontsize=10)
            axes.set_xlabel("nats (line: guessing, ln 6)" if rate else "relative to the base's output", fontsize=9)
            axes.set_yticks(range(len(SETTINGS)), labels=list(SETTINGS))


def lines(axes: Axes, groups: Sequence[Sequence[float]], *, zero: float, limits: tuple[float, float]) -> None:
    """A line of the axes a group, from above: values as dots and their mean as a bar; what is too low is named."""
    axes.axvline(zero, color="#000000", linewidth=0.8)
    axes.set(xlim=limits, ylim=(len(groups) - 0.5, -0.5))
    for line, values in enumerate(groups):
        if not values or max(values) < limits[0]:
            text = f" ← {statistics.mean(values):+.1f}".replace("-", "−") if values else " not run"
            axes.annotate(text, (limits[0], line), va="center", color=COLOURS[1], fontsize=9)
            continue
        axes.plot(values, [line] * len(values), "o", color=COLOURS[0], alpha=0.55, markersize=5)
        axes.plot([statistics.mean(values)], [line], "|", color=COLOURS[0], markersize=16, markeredgewidth=2.5)


if __name__ == "__main__":
    draw(Path("projects/adapters/results"))
