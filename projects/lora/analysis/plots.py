"""The figures, from the CSV files in results/: nothing is trained here.

python -m projects.lora.analysis.plots
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.lora.config import method
from shared.errors import command
from shared.plotting import COLOURS, MARKERS, figure, legend_below, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """Draw the figures from the CSV files."""

    results: Path = Path("projects/lora/results")
    """Folder of the CSV files; the PNG files go there too."""


def main(config: PlotConfig) -> None:
    """Draw every figure."""
    summary = read_csv(config.results / "summary.csv")
    runs = read_csv(config.results / "runs.csv")
    parameters_and_accuracy(summary, runs, config.results / "parameters_accuracy.png")
    rates_and_convergence(read_csv(config.results / "curves.csv"), runs, config.results / "rates_convergence.png")
    scaling_rules(summary, config.results / "scaling_rules.png")


def parameters_and_accuracy(summary: list[dict[str, Any]], runs: list[dict[str, Any]], path: Path) -> None:
    """A line a method with its share of trained parameters: its seeds as rings, their mean with its sd.

    The linear head is far below the rest: its line says so instead of squeezing the others together.
    """
    title = "How much accuracy do fewer trained parameters cost?"
    label = "test accuracy (rings: seeds; bar: mean ± sd)"
    shown = sorted(summary, key=lambda row: row["trained"])
    with figure(
        path, title=title, xlabel=label, ylabel="method (trained parameters)", size=(6.6, 4.0), words=WORDS
    ) as axes:
        for line, row in enumerate(shown):
            each = [run["accuracy"] for run in runs if run["final"] and method_of(run) == row["method"]]
            if "head" in row["method"]:
                axes.annotate(f"← {row['accuracy']:.3f}", (0.01, line), xycoords=("axes fraction", "data"), va="center")
                continue
            axes.plot(each, [line] * len(each), "o", markersize=5, markerfacecolor="none", color=COLOURS[0])
            axes.errorbar(row["accuracy"], line, xerr=row["accuracy_sd"], fmt="|", markersize=14, markeredgewidth=2.5,
                          color=COLOURS[0], capsize=3)  # fmt: skip
            if row["method"] == "full fine-tuning":
                axes.axvline(row["accuracy"], color="#000000", linestyle=":", linewidth=1)
        names = [f"{row['method']}\n({row['trained']:,})" for row in shown]
        axes.set_yticks(range(len(names)), labels=names, fontsize=9)
        axes.set_ylim(-0.5, len(names) - 0.5)


def rates_and_convergence(curves: list[dict[str, Any]], runs: list[dict[str, Any]], path: Path) -> None:
    """Training loss by step for each ratio of the rates of B and A, one panel a rank, seed 0."""
    ranks = sorted({r["rank"] for r in runs if r["arm"] == "lora" and r["scaling"] == "alpha/r"})
    chosen_rate = next(r["lr"] for r in runs if r["final"] and r["arm"] == "lora")
    title, ylabel = "Does a higher rate for B train faster? (seed 0)", "cross-entropy (nats)"
    with panels(path, len(ranks), title=title, xlabel="step", ylabel=ylabel, size=(2.45, 3.2), words=WORDS) as drawn:
        for axes, rank in zip(drawn, ranks, strict=True):
            cells = [
                r
                for r in runs
                if (r["arm"], r["rank"], r["scaling"], r["seed"], r["lr"]) == ("lora", rank, "alpha/r", 0, chosen_rate)
            ]
            for index, row in enumerate(sorted(cells, key=lambda r: r["lr_ratio"])):
                points = [p for p in curves if p["cell"] == row["cell"]]
                axes.plot(
                    [p["step"] for p in points],
                    [p["loss"] for p in points],
                    color=COLOURS[index],
                    linestyle=("-", "--", ":")[index],
                    label=f"×{row['lr_ratio']:g}",
                )
                rated = f"×{row['lr_ratio']:g}: {row['validation_accuracy']:.3f}"
                axes.annotate(
                    rated, (0.03, 0.19 - 0.07 * index), xycoords="axes fraction", color=COLOURS[index], fontsize=9
                )
            axes.annotate("right (validation)", (0.03, 0.26), xycoords="axes fraction", fontsize=9)
            axes.set(yscale="log", ylim=(0.02, 2), title=f"r = {rank}")
        legend_below(drawn[0], title="rate of B / rate of A")


def scaling_rules(summary: list[dict[str, Any]], path: Path) -> None:
    """Test accuracy by rank under α/r, and at r = 64 under α/√r too (drawn beside it)."""
    plain = sorted((r for r in summary if _is_plain_lora(r["method"])), key=lambda r: r["trained"])
    root = [r for r in summary if r["method"].endswith("α/√r")]
    full = next(r for r in summary if r["method"] == "full fine-tuning")
    low, high = full["accuracy"] - full["accuracy_sd"], full["accuracy"] + full["accuracy_sd"]
    title, ylabel = "Does a larger rank want the scale α/√r?", "test accuracy (mean ± sd over seeds)"
    with figure(path, title=title, xlabel="rank r", ylabel=ylabel, words=WORDS) as axes:
        axes.axhspan(low, high, color="#000000", alpha=0.08)
        axes.axhline(full["accuracy"], color="#000000", linestyle=":")
        for rows, label, index, aside in ((plain, "scale α/r", 0, 1.0), (root, "scale α/√r", 1, 1.12)):
            ranks, means = [_rank(r["method"]) * aside for r in rows], [r["accuracy"] for r in rows]
            axes.errorbar(ranks, means, yerr=[r["accuracy_sd"] for r in rows], **_mark(index))
            beside: dict[str, Any] = {
                "xytext": (18 * index - 9, 0),
                "textcoords": "offset points",
                "ha": ("right", "left")[index],
            }
            axes.annotate(
                label, (ranks[-1], means[-1]), va="center", color=COLOURS[index], annotation_clip=False, **beside
            )
        axes.annotate("full fine-tuning", (4, full["accuracy"]), xytext=(0, 3), textcoords="offset points", fontsize=9)
        axes.set_xscale("log", base=2)
        axes.set_xticks([_rank(r["method"]) for r in plain], labels=[str(_rank(r["method"])) for r in plain])
        axes.set_xlim(3.5, 105)


def method_of(run: dict[str, Any]) -> str:
    """Name of the method of a row of runs.csv."""
    return method(run["arm"], run["rank"], run["scaling"])


def _mark(index: int, size: int = 6) -> dict[str, Any]:
    """Colour and marker of one method; a mean without a neighbour is not joined to anything."""
    marker = {"marker": MARKERS[index], "markersize": size, "color": COLOURS[index]}
    return {**marker, "capsize": 3, "linestyle": "none"}


def _is_plain_lora(name: str) -> bool:
    return name.startswith("LoRA") and "√" not in name


def _rank(name: str) -> int:
    return int(name.split("r = ")[1].split(",")[0])


if __name__ == "__main__":
    command(main, PlotConfig)
