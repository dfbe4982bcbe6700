"""The figures, from the CSV files in results/: nothing is trained here.

python -m projects.lora.analysis.plots
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.lora.tables import method, read_csv
from shared.errors import command
from shared.plotting import COLOURS, MARKERS, figure, panels


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
    """Trained parameters against test accuracy: each run a small dot, each method's mean a large mark with its sd."""
    title = "LoRA comes close to full fine-tuning with a few per cent of its parameters"
    with figure(path, title=title, xlabel="trained parameters", ylabel="test accuracy", size=(7.2, 4.4)) as axes:
        axes.set_xscale("log")
        for index, row in enumerate(summary):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            mine = [r for r in runs if r["final"] and r["trained"] == row["trained"] and method(r) == row["method"]]
            axes.scatter([r["trained"] for r in mine], [r["accuracy"] for r in mine], s=9, color=colour, alpha=0.5)
            axes.errorbar(
                row["trained"],
                row["accuracy"],
                yerr=row["accuracy_sd"],
                marker=marker,
                markersize=8,
                capsize=3,
                linestyle="none",
                color=colour,
                label=row["method"],
            )
        axes.legend(loc="lower right", fontsize=9)


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
    """Test accuracy by rank under α/r, and at r = 64 under α/√r too."""
    plain = sorted((r for r in summary if _is_plain_lora(r["method"])), key=lambda r: r["trained"])
    root = [r for r in summary if r["method"].endswith("α/√r")]
    full = next(r for r in summary if r["method"] == "full fine-tuning")
    title = "Rank and scaling rule (mean ± sd over seeds)"
    with figure(path, title=title, xlabel="rank r", ylabel="test accuracy") as axes:
        axes.axhspan(
            full["accuracy"] - full["accuracy_sd"], full["accuracy"] + full["accuracy_sd"], color="#000000", alpha=0.08
        )
        axes.axhline(full["accuracy"], color="#000000", linestyle=":", label="full fine-tuning")
        for rows, label, index in ((plain, "scale α/r", 0), (root, "scale α/√r", 1)):
            axes.errorbar(
                [_rank(r["method"]) for r in rows],
                [r["accuracy"] for r in rows],
                yerr=[r["accuracy_sd"] for r in rows],
                marker=MARKERS[index],
                color=COLOURS[index],
                capsize=3,
                label=label,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks([_rank(r["method"]) for r in plain], labels=[str(_rank(r["method"])) for r in plain])
        axes.legend(loc="lower right")


def _is_plain_lora(name: str) -> bool:
    return name.startswith("LoRA") and "√" not in name


def _rank(name: str) -> int:
    return int(name.split("r = ")[1].split(",")[0])


if __name__ == "__main__":
    command(main, PlotConfig)
