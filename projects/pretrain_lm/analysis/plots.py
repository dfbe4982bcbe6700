"""The figures of results/, each drawn from the rows of a table."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke

from shared.plotting import COLOURS, MARKERS, figure
from shared.report import mean_sd, read_csv

FAMILIES = ("greedy", "temperature", "top-k", "top-p", "the articles")
NAMED = ("temperature", "top-k", "top-p")  # families whose points say their parameter
AWAY = 13  # points of the name's middle from its point's


def main(results: Path) -> None:
    """Every figure of the runs; those of what is written are drawn where it is measured."""
    masking([row for row in read_csv(results / "runs.csv") if row["study"] == "masking"], results / "masking.png")
    grams = {row["model"]: row["validation_perplexity"] for row in read_csv(results / "news.csv")}
    epochs(read_csv(results / "epochs.csv"), grams["Kneser–Ney 5-gram"], results / "epochs.png")
    memory(read_csv(results / "loader.csv"), results / "memory.png")


def frontier(rows: list[dict[str, Any]], out: Path) -> None:
    """frontier.png and similarity.png: diversity against two measures of coherence, a line for each way of sampling."""
    title = "Variety against what another model finds predictable"
    label = "perplexity under SmolLM2 (lower: more predictable)"
    _against(rows, out / "frontier.png", "perplexity", title, label, log=True)
    title, label = "Variety against closeness to the opening", "cosine of opening and continuation (MiniLM)"
    _against(rows, out / "similarity.png", "similarity", title, label, log=False)


def _against(rows: list[dict[str, Any]], path: Path, column: str, title: str, label: str, *, log: bool) -> None:
    with figure(path, title=title, xlabel="distinct-2 of the written tokens", ylabel=label, size=(6.8, 4.4)) as axes:
        if log:
            axes.set_yscale("log")
            axes.invert_yaxis()
        points_of: list[tuple[float, float, str, str]] = []
        for number, family in enumerate(FAMILIES):
            points = sorted((r["distinct_2"], r[column], r["way"]) for r in rows if r["way"].startswith(family))
            x, y = [p[0] for p in points], [p[1] for p in points]
            axes.plot(x, y, marker=MARKERS[number], color=COLOURS[number], label=family)
            named = family in NAMED
            points_of += [(a, b, way.split()[-1] if named else "", COLOURS[number]) for a, b, way in points]
        axes.margins(y=0.1)  # room for a name below the lowest point
        axes.legend(loc="lower left" if log else "upper left")
        name_points(axes, points_of)


def name_points(axes: Any, points: list[tuple[float, float, str, str]]) -> None:
    """Write beside each point (x, y, name, colour) its name, on that of eight sides where most room is left."""
    axes.autoscale_view()
    places = [axes.transData.transform(point[:2]) * 72 / axes.figure.dpi for point in points]
    taken = list(places)
    for (x, y, name, colour), place in zip(points, places, strict=True):
        if not name:
            continue
        sides = [AWAY * np.array([math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)]) for k in range(8)]
        others = [each for each in taken if each is not place]
        side = max(sides, key=lambda s, p=place, o=others: min(np.hypot(*(p + s - each)) for each in o))  # type: ignore[misc]
        taken.append(place + side)
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
        look["path_effects"] = [withStroke(linewidth=2, foreground="white")]  # over the lines of others
        axes.annotate(name, (x, y), xytext=tuple(side), textcoords="offset points", **look)


def masking(rows: list[dict[str, Any]], path: Path) -> None:
    """Validation loss against the mask ratio, dynamic and static, each seed a point."""
    title = "Masked models, all asked the same held-out masks"
    with figure(path, title=title, xlabel="tokens masked in training (%)", ylabel="test loss (nats a label)") as axes:
        for number, objective in enumerate(("dynamic", "static")):
            some = [row for row in rows if row["objective"] == objective]
            ratios = sorted({row["mask_ratio"] for row in some})
            groups = [mean_sd([r for r in some if r["mask_ratio"] == ratio], "test_loss") for ratio in ratios]
            means, spreads = [g["test_loss"] for g in groups], [g["test_loss_sd"] for g in groups]
            look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number]}
            x = [100 * ratio for ratio in ratios]
            axes.errorbar(x, means, yerr=spreads, capsize=3, label=f"{objective}, mean ± sd", **look)
            jitter = [100 * row["mask_ratio"] + 0.5 + 0.5 * number for row in some]
            axes.plot(jitter, [row["test_loss"] for row in some], ls="", alpha=0.4, ms=4, **look)
        axes.legend()


def epochs(rows: list[dict[str, Any]], ngram: float, path: Path) -> None:
    """Validation perplexity of the news model epoch by epoch, beside the 5-gram's."""
    title = "The news model beside a 5-gram on the same tokens"
    with figure(path, title=title, xlabel="epoch", ylabel="validation perplexity") as axes:
        for number, seed in enumerate(sorted({row["seed"] for row in rows})):
            some = [row for row in rows if row["seed"] == seed]
            x, y = [row["epoch"] for row in some], [row["validation_perplexity"] for row in some]
            axes.plot(x, y, marker=MARKERS[number], color=COLOURS[number], label=f"Transformer, seed {seed}")
        axes.axhline(ngram, color=COLOURS[6], ls="--", label="Kneser–Ney 5-gram")
        axes.set_xticks(sorted({row["epoch"] for row in rows}))
        axes.set_ylim(0)
        axes.legend()


def memory(rows: list[dict[str, Any]], path: Path) -> None:
    """Peak memory of a process that only reads batches, against the size of the corpus."""
    title = "The loader's memory does not grow with the corpus"
    with figure(path, title=title, xlabel="corpus (million tokens)", ylabel="peak resident memory (MB)") as axes:
        axes.plot([row["tokens"] / 1e6 for row in rows], [row["peak_mb"] for row in rows], marker="o")
        axes.set_ylim(0, 1.3 * max(row["peak_mb"] for row in rows))
