"""The figures of the README, each from a CSV of the results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from projects.news_cls.measure.shown import shortened
from shared.plotting import COLOURS, MARKERS, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
Rows = list[dict[str, Any]]


def few(out: Path, rows: Rows) -> None:
    """Accuracy by labels a topic."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    with panels(out / "few.png", 1, title="BBC news, few labels: articles without labels help most", size=(6.6, 4.4),
                xlabel="labelled articles of each topic", ylabel="accuracy, mean ± sd",
                words=WORDS) as (axes,):  # fmt: skip
        for number, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method]
            axes.errorbar([row["labels"] * (1 + 0.02 * number) for row in own], [row["accuracy"] for row in own],
                          [row["accuracy_sd"] for row in own], label=shortened(method), marker=MARKERS[number % 7],
                          color=COLOURS[number % 7], capsize=2, ms=5)  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks([10, 20, 50], ["10", "20", "50"])
        axes.minorticks_off()
        legend_below(axes, columns=2)


def time(out: Path, rows: Rows) -> None:
    """What updates learn, and what they forget."""
    own = [row for row in rows if row["method"] != "svm" and str(row["labels"]) in ("5", "15", "50")]
    start = next(row for row in rows if row["method"] != "svm" and row["mode"] == "no new labels")
    with panels(out / "time.png", 2, title="From 2004 to 2017: replay and a tie keep the old",
                xlabel="new labelled articles of each topic", ylabel="macro-F1", size=(3.6, 3.6), share_y=False,
                words=WORDS) as places:  # fmt: skip
        for axes, name, said in zip(
            places, ("macro_f1", "old_macro_f1"), ("news of 2017", "news of 2004"), strict=True
        ):
            for number, mode in enumerate(dict.fromkeys(row["mode"] for row in own)):
                each = [row for row in own if row["mode"] == mode]
                axes.plot([0, *(int(row["labels"]) for row in each)], [start[name], *(row[name] for row in each)],
                          marker=MARKERS[number], label=mode, color=COLOURS[number])  # fmt: skip
            axes.set_title(said)
        places[1].set_ylabel("")
        legend_below(places[0], columns=2)


def power(out: Path, rows: Rows) -> None:
    """Alarms by strength of each shift."""
    kinds = list(dict.fromkeys(row["shift"] for row in rows))
    tests = ("classifier", "mmd", "predicted_topics", "confidence")
    with panels(out / "drift.png", len(kinds), title="Share of batches of 100 that raise an alarm",
                xlabel="share of the batch that has shifted", ylabel="alarms", size=(2.8, 3.4),
                words=WORDS) as places:  # fmt: skip
        for axes, kind in zip(places, kinds, strict=True):
            own = [row for row in rows if row["shift"] == kind]
            for number, test in enumerate(tests):
                axes.plot([row["strength"] for row in own], [row[test] for row in own], marker=MARKERS[number],
                          label=test.replace("_", " "), color=COLOURS[number])  # fmt: skip
            axes.axhline(0.05, color="#777777", lw=0.8, ls=":")
            axes.set_title(f"{kind} shift")
        legend_below(places[0], columns=4)


def reliability(out: Path, rows: Rows) -> None:
    """How right it is when it is so sure, and what abstaining leaves."""
    with panels(out / "reliability.png", 2, title="How sure the model may be", xlabel="confidence", ylabel="accuracy",
                size=(3.5, 3.4), share_y=False, words=WORDS) as (left, right):  # fmt: skip
        for number, name in enumerate(("raw", "scaled")):
            own = [row for row in rows if row["curve"] == name]
            left.plot([row["x"] for row in own], [row["y"] for row in own], marker=MARKERS[number], label=name)
        left.plot([0, 1], [0, 1], color="#777777", lw=0.8, ls=":")
        left.legend()
        own = [row for row in rows if row["curve"] == "abstention"]
        right.plot([row["x"] for row in own], [row["y"] for row in own])
        right.set_xlabel("share of articles that are answered")
        right.set_ylabel("share of all errors that is left")


DRAWN: dict[str, tuple[str, Callable[[Path, Rows], None]]] = {
    "few": ("few.csv", few), "time": ("time.csv", time), "drift": ("power.csv", power),
    "reliability": ("reliability.csv", reliability),
}  # fmt: skip


def draw(out: Path) -> None:
    """All figures whose CSV is there."""
    for table, make in DRAWN.values():
        if (out / table).exists():
            make(out, read_csv(out / table))
