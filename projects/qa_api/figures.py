"""The figures of the README, each from a CSV of the results."""

from pathlib import Path
from typing import Any

import numpy as np

from projects.qa_api.measure.shown import READERS
from shared.plotting import COLOURS, MARKERS, figure, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
Rows = list[dict[str, Any]]


def sure(out: Path, rows: Rows) -> None:
    """Share of wrong answers by coverage: the mean of the seeds, and each of them thin."""
    with figure(out / "sure.png", title="Wrong answers, by how many questions are answered",
                xlabel="share of questions answered, surest first", ylabel="share of answers that are wrong",
                size=(6.6, 4.4), words=WORDS) as axes:  # fmt: skip
        for number, reader in enumerate(dict.fromkeys(row["reader"] for row in rows)):
            own = [row for row in rows if row["reader"] == reader]
            places = sorted({row["coverage"] for row in own})
            wrong = np.array([[row["wrong"] for row in own if row["coverage"] == place] for place in places])
            axes.plot(places, wrong.mean(1), color=COLOURS[number], marker=MARKERS[number], markevery=5, ms=5, lw=2,
                      label=READERS.get(reader, reader))  # fmt: skip
            axes.plot(places, wrong, color=COLOURS[number], lw=0.6, alpha=0.5)
        axes.axhline(0.05, color="#777777", lw=1, ls=":", label="one in twenty")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        legend_below(axes)


def search(out: Path, rows: Rows) -> None:
    """Recall at 1 and at 10 of each search, one row a task."""
    tasks, methods = (list(dict.fromkeys(row[name] for row in rows)) for name in ("task", "method"))
    with panels(out / "search.png", 2, title="Which search finds the document: share of the queries, 95 % intervals",
                xlabel="recall", size=(3.8, 4.4), words=WORDS) as places:  # fmt: skip
        for axes, name, said in zip(places, ("first", "ten"), ("found first", "among the first ten"), strict=True):
            for number, method in enumerate(methods):
                own = {row["task"]: row for row in rows if row["method"] == method}
                heights = [tasks.index(task) + 0.18 * (number - (len(methods) - 1) / 2) for task in own]
                values = np.array([[row[name], row[f"{name}_low"], row[f"{name}_high"]] for row in own.values()]).T
                axes.errorbar(values[0], heights, xerr=abs(values[0] - values[1:]), fmt=MARKERS[number], ms=5,
                              color=COLOURS[number], capsize=2, label=method)  # fmt: skip
            axes.set_title(said)
            axes.set_xlim(0, 1)
        lines = [task.replace("descriptions, ", "descriptions,\n") for task in tasks]
        places[0].set_yticks(range(len(tasks)), lines, fontsize=9)
        places[0].invert_yaxis()
        legend_below(places[0])


def draw(out: Path) -> None:
    """All figures whose CSV is there."""
    for table, make in (("coverage.csv", sure), ("search.csv", search)):
        if (out / table).exists():
            make(out, read_csv(out / table))
