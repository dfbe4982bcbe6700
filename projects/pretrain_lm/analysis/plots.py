"""The figures of results/, each drawn from the rows of a table."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patheffects import withStroke

from shared.plotting import COLOURS, MARKERS, figure, label_ends
from shared.report import mean_sd, read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
FAMILIES = ("greedy", "temperature", "top-k", "top-p", "the articles")
AWAY, LETTER = 12, 4.4  # points of 1/72 inch: from a point to its name, and the width of a letter


def main(results: Path) -> None:
    """Every figure of the runs; those of what is written are drawn where it is measured."""
    masking([row for row in read_csv(results / "runs.csv") if row["study"] == "masking"], results / "masking.png")
    grams = {row["model"]: row["validation_perplexity"] for row in read_csv(results / "news.csv")}
    epochs(read_csv(results / "epochs.csv"), grams["Kneser–Ney 5-gram"], results / "epochs.png")
    memory(read_csv(results / "loader.csv"), results / "memory.png")


def frontier(rows: list[dict[str, Any]], out: Path) -> None:
    """frontier.png and similarity.png: variety against two measures of coherence, a line for each way of sampling."""
    title, label = "Does anything write as varied and as predictably as the articles?", "perplexity (SmolLM2)"
    with _variety(rows, out / "frontier.png", "perplexity", title, f"{label} (lower: more predictable)") as axes:
        axes.set_yscale("log")
        axes.set_yticks(ticks := (10, 30, 100, 300, 1000, 3000), [f"{tick:,}" for tick in ticks])
    title = "Does anything stay as close to its opening as the articles do?"
    with _variety(rows, out / "similarity.png", "similarity", title, "cosine to the opening (MiniLM)"):
        pass


@contextmanager
def _variety(rows: list[dict[str, Any]], path: Path, column: str, title: str, label: str) -> Iterator[Any]:
    """Every way of sampling by its share of distinct bigrams, spread out near 100 %, and named beside its point."""
    xlabel = "distinct bigrams (%): more varied to the right"
    with figure(path, title=title, xlabel=xlabel, ylabel=label, size=(6.8, 5.2), words=WORDS) as axes:
        axes.set_xscale("log")
        axes.set_xticks(ticks := (50, 20, 10, 5, 2), [str(100 - repeated) for repeated in ticks])
        axes.minorticks_off()
        axes.set_xlim(100, 1.3)
        axes.margins(y=0.12)  # room for a name below the lowest point
        yield axes
        named: list[tuple[float, float, str, str]] = []
        for family, colour, marker in zip(FAMILIES, COLOURS, MARKERS, strict=False):
            some = [row for row in rows if row["way"].startswith(family)]
            points = sorted(((100 * (1 - r["distinct_2"]), r[column], r["way"]) for r in some), reverse=True)
            axes.plot([x for x, *_ in points], [y for _, y, _ in points], marker=marker, color=colour)
            for number, (x, y, way) in enumerate(reversed(points)):  # the family is named once, at its freest point
                named.append((x, y, way.split()[-1] if number else way.removesuffix(" themselves"), colour))
        name_points(axes, named)


def name_points(axes: Any, points: list[tuple[float, float, str, str]]) -> None:
    """Write beside each point (x, y, name, colour) its name, on that of sixteen sides where most room is left."""
    axes.autoscale_view()
    axes.figure.canvas.draw()  # the layout is fixed now, so that distances on paper are known
    taken = _along_lines(axes)
    for x, y, name, colour in points:
        if not name:
            continue
        half = LETTER * len(name) / 2
        sides = [np.array([(AWAY + half) * math.cos(a), AWAY * math.sin(a)]) for a in np.arange(16) * math.pi / 8]
        place, letters = _on_paper(axes, (x, y)), np.stack([np.linspace(-half, half, 5), np.zeros(5)], 1)
        boxes = [place + side + letters for side in sides]
        room = [np.hypot(*(box[:, None] - np.array(taken)[None]).transpose(2, 0, 1)).min() for box in boxes]
        best = int(np.argmax(room))
        taken.extend(boxes[best])
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
        look["path_effects"] = [withStroke(linewidth=2, foreground="white")]  # over the lines of others
        axes.annotate(name, (x, y), xytext=tuple(sides[best]), textcoords="offset points", **look)


def _on_paper(axes: Any, point: Any) -> Any:
    """Points of 1/72 inch from the figure's corner."""
    return axes.transData.transform(point) * 72 / axes.figure.dpi


def _along_lines(axes: Any) -> list[Any]:
    """Places on paper along every line, close to each other, its points included."""
    found = []
    for line in axes.lines:
        ends = _on_paper(axes, np.column_stack(line.get_data()))
        found += list(ends)
        for one, other in pairwise(ends):
            found += list(np.linspace(one, other, 2 + int(np.hypot(*(other - one)) / 4)))
    return found


def masking(rows: list[dict[str, Any]], path: Path) -> None:
    """Validation loss against the mask ratio, dynamic and static, each seed a point."""
    title, ylabel = "Do masks drawn anew in each epoch help?", "test loss (nats a label)"
    xlabel = "tokens masked in training (%); bars: mean ± sd, faint: seeds"
    with figure(path, title=title, xlabel=xlabel, ylabel=ylabel, words=WORDS) as axes:
        for number, objective in enumerate(("dynamic", "static")):
            some = [row for row in rows if row["objective"] == objective]
            ratios = sorted({row["mask_ratio"] for row in some})
            groups = [mean_sd([r for r in some if r["mask_ratio"] == ratio], "test_loss") for ratio in ratios]
            means, spreads = [g["test_loss"] for g in groups], [g["test_loss_sd"] for g in groups]
            look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number]}
            x = [100 * ratio for ratio in ratios]
            axes.plot(x, means, label=objective, **look)
            axes.errorbar(x, means, yerr=spreads, capsize=3, **look)
            jitter = [100 * row["mask_ratio"] - 0.7 - 0.5 * number for row in some]
            axes.plot(jitter, [row["test_loss"] for row in some], ls="", alpha=0.4, ms=4, **look)
        label_ends(axes)


def epochs(rows: list[dict[str, Any]], ngram: float, path: Path) -> None:
    """Validation perplexity of the news model epoch by epoch, beside the 5-gram's."""
    title = "When does the Transformer overtake a 5-gram?"
    with figure(path, title=title, xlabel="epoch", ylabel="validation perplexity", words=WORDS) as axes:
        for number, seed in enumerate(sorted({row["seed"] for row in rows})):
            some = [row for row in rows if row["seed"] == seed]
            x, y = [row["epoch"] for row in some], [row["validation_perplexity"] for row in some]
            axes.plot(x, y, marker=MARKERS[number], color=COLOURS[number], label=f"Transformer, seed {seed}")
        seen = sorted({row["epoch"] for row in rows})
        axes.plot(seen, [ngram] * len(seen), color=COLOURS[6], ls="--", label="Kneser–Ney 5-gram")
        axes.set_xticks(seen)
        axes.set_ylim(0)
        label_ends(axes)


def memory(rows: list[dict[str, Any]], path: Path) -> None:
    """Peak memory of a process that only reads batches, against the size of the corpus."""
    title, ylabel = "Does the loader's memory grow with the corpus?", "peak resident memory (MB)"
    with figure(path, title=title, xlabel="corpus (million tokens)", ylabel=ylabel, words=WORDS) as axes:
        axes.plot([row["tokens"] / 1e6 for row in rows], [row["peak_mb"] for row in rows], marker="o")
        axes.set_ylim(0, 1.3 * max(row["peak_mb"] for row in rows))
