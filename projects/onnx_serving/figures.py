"""The figures, from the CSV files in results/: nothing is measured here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.plotting import COLOURS, MARKERS, figure, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
NAMES = ("torch float32", "torch int8", "onnx float32", "onnx int8", "transformers' generate", "torch bfloat16")


def style(arm: str) -> dict[str, Any]:
    """One colour and one mark an arm, the same in every figure."""
    index = NAMES.index(arm)
    return {"color": COLOURS[index], "marker": MARKERS[index], "label": arm}


def main(results: Path) -> None:
    """Every figure of what has been measured."""
    if (results / "bench.csv").exists():
        rows = read_csv(results / "bench.csv")
        encoder(rows, results / "encoder.png")
        generation(rows, results / "generation.png")
    if (results / "load.csv").exists():
        load(results)


def encoder(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Median latency against rows at 64 tokens, and against tokens at 8 rows; up to the 95th percentile as a line."""
    threads = max(row["threads"] for row in rows)
    mine = [row for row in rows if row["task"] == "encode" and row["threads"] == threads]
    title = "Which runtime and precision answers first? (the encoder, equal threads)"
    ylabel = "latency (ms): median, up to p95"
    varying = (("rows", "tokens", 64, "rows of 64 tokens"), ("tokens", "rows", 8, "tokens in each of 8 rows"))
    with panels(path, 2, title=title, xlabel="", ylabel=ylabel, size=(3.6, 3.8), words=WORDS) as axes:
        for each, (varied, fixed, value, label) in zip(axes, varying, strict=True):
            for arm in dict.fromkeys(r["arm"] for r in mine):
                rows_of_arm = [r for r in mine if r["arm"] == arm and r[fixed] == value]
                points = sorted((r[varied], r["p50_ms"], r["p95_ms"] - r["p50_ms"]) for r in rows_of_arm)
                x, middle, above = zip(*points, strict=True)
                each.errorbar(x, middle, yerr=[[0] * len(x), above], **style(arm))
            each.set(xscale="log", yscale="log", xlabel=label)
            each.set_xticks(x, [str(tick) for tick in x])
            each.minorticks_off()
        legend_below(axes[0], columns=3)


def generation(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Tokens a second of every way to generate."""
    mine = sorted((r for r in rows if r["task"] != "encode"), key=lambda r: (r["rows"], r["per_second"]))
    hows = {"generate": "with cache", "recompute": "without cache", "library": ""}
    names = [f"{r['arm']}, {hows[r['task']]}".rstrip(", ") + f" ({r['rows']} row{'s' * (r['rows'] > 1)})" for r in mine]
    title = "How much faster do the cache and int8 write?"
    with figure(path, title=title, xlabel="generated tokens/s", ylabel="", size=(7.2, 4.2), words=WORDS) as axes:
        bars = axes.barh(names, [r["per_second"] for r in mine], color=[style(r["arm"])["color"] for r in mine])
        axes.bar_label(bars, fmt="%.0f", padding=3)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)


def load(out: Path) -> None:
    """load.png: requests accepted and refused in each second, and the largest latency of the accepted."""
    rows = read_csv(out / "arrivals.csv")
    (total,) = read_csv(out / "load.csv")
    unloaded = total["accepted_p99_ms"] / total["over_unloaded_p99"]
    seconds = [row["second"] for row in rows]
    title, xlabel = "What happens at twice the sustainable load?", "second of the test"
    with panels(out / "load.png", 2, title=title, xlabel=xlabel, size=(3.6, 3.4), share_y=False, words=WORDS) as (
        left,
        right,
    ):
        parts = [[row[name] for row in rows] for name in ("accepted", "refused")]
        left.stackplot(seconds, parts, labels=("accepted", "refused with 503"), colors=(COLOURS[0], COLOURS[4]))
        left.set(ylabel="requests in this second", ylim=(0, 1.35 * max(map(sum, zip(*parts, strict=True)))))
        left.legend(fontsize=8, loc="upper right")
        right.plot(seconds, [row["longest_ms"] for row in rows], color=COLOURS[0], label="longest of the accepted")
        right.axhline(4 * unloaded, color=COLOURS[1], linestyle="--", label="4 × p99 without load")
        right.axhline(unloaded, color=COLOURS[2], linestyle=":", label="p99 without load")
        right.set(ylabel="latency (ms)", ylim=(0, 5.6 * unloaded))
        right.legend(fontsize=8, loc="upper right")
