"""Figures from results/: the frontier of gold reward against divergence, and what wrong pairs, β and pairs do.

python -m projects.ppo_dpo_orpo.analysis.plots
"""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

from shared.errors import command
from shared.plotting import COLOURS, MARKERS, label_ends, panels
from shared.report import read_csv

WORDS = Path(__file__).with_name("figures.es.toml")
METHODS = {"dpo": "DPO", "orpo": "ORPO", "ppo": "PPO"}
KINDS = {"lora": "LoRA", "adapter": "bottleneck adapters"}


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """Draw the figures of the experiments."""

    results: Path = Path("projects/ppo_dpo_orpo/results")
    """Folder of the CSV files; the figures go there too."""


def main(config: PlotConfig) -> list[Path]:
    """Draw what there is. Returns the figures."""
    drawn = []
    for name, draw in {"frontier": draw_frontier, "sensitivity": draw_sensitivity}.items():
        table, path = config.results / f"{name}.csv", config.results / f"{name}.png"
        if table.exists():
            draw(read_csv(table), path)
            drawn.append(path)
    return drawn


def draw_frontier(rows: list[dict[str, Any]], path: Path) -> None:
    """Gain of gold reward over √KL: a thin line a seed, a thick one through the means of each checkpoint.

    Source: Gao et al. 2023, "Scaling Laws for Reward Model Overoptimization", figure 1.
    """
    title = "Gold reward gained for the distance gone, by method and kind of adapter"
    labels = {"xlabel": "√KL (nats a response); thin lines: seeds", "ylabel": "gain in gold reward"}
    with panels(path, len(KINDS), title=title, size=(3.8, 3.4), words=WORDS, **labels) as drawn:  # type: ignore[arg-type]
        for axes, kind in zip(drawn, KINDS, strict=True):
            for place, method in enumerate(METHODS):
                mine = [row for row in rows if (row["method"], row["kind"]) == (method, kind)]
                draw_method(axes, mine, place, METHODS[method])
            axes.axhline(0, color="#000000", linewidth=0.8)
            axes.set_xlim(-0.05, 1.05 * math.sqrt(max(row["kl"] for row in rows)))
            axes.set_title(KINDS[kind], fontsize=10, fontweight="normal")
            label_ends(axes)


def draw_method(axes: Axes, rows: list[dict[str, Any]], place: int, label: str) -> None:
    """One method's seeds and their mean."""
    for seed in sorted({row["seed"] for row in rows}):
        one = [row for row in rows if row["seed"] == seed]
        axes.plot(
            [math.sqrt(r["kl"]) for r in one],
            [r["gain"] for r in one],
            color=COLOURS[place],
            alpha=0.3,
            lw=1,
            label="_",
        )
    steps = sorted({row["step"] for row in rows})
    means = [[fmean(row[name] for row in rows if row["step"] == step) for step in steps] for name in ("kl", "gain")]
    look = {"color": COLOURS[place], "marker": MARKERS[place], "markersize": 5}
    axes.plot([math.sqrt(kl) for kl in means[0]], means[1], label=label, **look)  # type: ignore[arg-type]


def draw_sensitivity(rows: list[dict[str, Any]], path: Path) -> None:
    """Test pairs put right over the share of wrong pairs, over β and over the number of pairs; 95 % over films."""
    asked = {"wrong": "share of pairs in the wrong order", "beta": "β (logarithmic)", "pairs": "training pairs"}
    title = "What wrong pairs, β and fewer pairs do to DPO (LoRA, one seed)"
    named = {"xlabel": "", "ylabel": "test pairs put right (95 %)"}
    with panels(path, len(asked), title=title, size=(3.0, 3.0), words=WORDS, **named) as drawn:  # type: ignore[arg-type]
        for axes, (name, label) in zip(drawn, asked.items(), strict=True):
            mine = sorted(
                (r for r in rows if r["study"] in ("base", name) and r["method"] == "dpo"), key=lambda r: r[name]
            )
            x, y = [r[name] for r in mine], [r["right"] for r in mine]
            bars = [[r["right"] - r["right_low"] for r in mine], [r["right_high"] - r["right"] for r in mine]]
            axes.errorbar(x, y, yerr=bars, color=COLOURS[0], marker=MARKERS[0], capsize=3)
            axes.axhline(0.5, color="#000000", linewidth=0.8, linestyle=":")
            axes.set_xlabel(label)
            if name == "beta":
                axes.set_xscale("log")
                axes.minorticks_off()
            axes.set_xticks(x, [f"{value:g}" for value in x])


if __name__ == "__main__":
    command(main, PlotConfig)
