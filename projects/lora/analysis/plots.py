"""The figures, from the CSV files in results/: nothing is trained here.

python -m projects.lora.analysis.plots
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.lora.config import method
from shared.errors import command
from shared.plotting import COLOURS, MARKERS, figure, panels
from shared.report import read_csv

ASIDE, BESIDE = 1.45, 1.09  # factors: between methods of one size, and between a mean and its single runs


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
    """Trained parameters against test accuracy: each method's mean with its sd, its runs as open circles beside it.

    Each mark is named where it stands; methods with equally many parameters stand side by side. The linear head is far
    below the rest: it is named at the lower edge instead of squeezing the others together.
    """
    title = "LoRA reaches full fine-tuning with a few per cent of its parameters"
    (head,) = (row for row in summary if "head" in row["method"])
    rest = [row for row in summary if row is not head]
    with figure(
        path,
        title=title,
        xlabel="trained parameters (methods of one size side by side)",
        ylabel="test accuracy",
        size=(7.6, 4.6),
    ) as axes:
        axes.set_xscale("log")
        for index, row in enumerate(rest):
            earlier = sum(row["trained"] == other["trained"] for other in rest[:index])
            x, side = row["trained"] * ASIDE**earlier, -1 if earlier else 1  # named above its bar, or below
            each = [run["accuracy"] for run in runs if run["final"] and method_of(run) == row["method"]]
            axes.scatter([x / BESIDE] * len(each), each, s=16, facecolors="none", edgecolors=COLOURS[index])
            axes.errorbar(x, row["accuracy"], yerr=row["accuracy_sd"], **_mark(index, size=8))
            bar = row["accuracy"] + side * row["accuracy_sd"]
            y = max(bar, *each) if side > 0 else min(bar, *each)
            axes.annotate(row["method"].replace(", r", ",\nr"), (x, y), (0, 6 * side), textcoords="offset points",
                          ha="center", va="bottom" if side > 0 else "top", fontsize=9)  # fmt: skip
        axes.annotate(
            f"↓ {head['method']}: {head['accuracy']:.3f} with {head['trained']:,} parameters",
            (0.02, 0.03),
            xycoords="axes fraction",
        )
        axes.margins(x=0.12, y=0.25)


def rates_and_convergence(curves: list[dict[str, Any]], runs: list[dict[str, Any]], path: Path) -> None:
    """Training loss by step for each ratio of the rates of B and A, one panel a rank, seed 0."""
    ranks = sorted({r["rank"] for r in runs if r["arm"] == "lora" and r["scaling"] == "alpha/r"})
    chosen_rate = next(r["lr"] for r in runs if r["final"] and r["arm"] == "lora")
    title = "A higher rate for B: training loss, seed 0"
    with panels(path, len(ranks), title=title, xlabel="step", ylabel="cross-entropy (nats)") as drawn:
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
                    label=f"×{row['lr_ratio']:g}: validation {row['validation_accuracy']:.3f}",
                )
            axes.set_yscale("log")
            axes.set_title(f"r = {rank}")
            axes.legend(fontsize=8, title="rate of B / rate of A", title_fontsize=8)


def scaling_rules(summary: list[dict[str, Any]], path: Path) -> None:
    """Test accuracy by rank under α/r, and at r = 64 under α/√r too (drawn beside it)."""
    plain = sorted((r for r in summary if _is_plain_lora(r["method"])), key=lambda r: r["trained"])
    root = [r for r in summary if r["method"].endswith("α/√r")]
    full = next(r for r in summary if r["method"] == "full fine-tuning")
    low, high = full["accuracy"] - full["accuracy_sd"], full["accuracy"] + full["accuracy_sd"]
    title = "Rank and scaling rule (mean ± sd over seeds)"
    with figure(path, title=title, xlabel="rank r", ylabel="test accuracy") as axes:
        axes.axhspan(low, high, color="#000000", alpha=0.08)
        axes.axhline(full["accuracy"], color="#000000", linestyle=":", label="full fine-tuning")
        for rows, label, index, aside in ((plain, "scale α/r", 0, 1.0), (root, "scale α/√r", 1, 1.12)):
            ranks, means = [_rank(r["method"]) * aside for r in rows], [r["accuracy"] for r in rows]
            axes.errorbar(ranks, means, yerr=[r["accuracy_sd"] for r in rows], label=label, **_mark(index))
        axes.set_xscale("log", base=2)
        axes.set_xticks([_rank(r["method"]) for r in plain], labels=[str(_rank(r["method"])) for r in plain])
        axes.legend(loc="lower left")


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
