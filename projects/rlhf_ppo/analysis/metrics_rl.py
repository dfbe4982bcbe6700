"""Figures of PPO: what happens round by round, and what the reward model's opinion is worth as the policy moves away.

python -m projects.rlhf_ppo.analysis.metrics_rl --run runs/rlhf_ppo/ppo-target6-seed0     one run, from its log
python -m projects.rlhf_ppo.analysis.metrics_rl                                           all, from results/
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from shared.errors import UserError, command
from shared.plotting import COLOURS, MARKERS, legend_below, panels
from shared.report import read_csv

RESULTS = Path("projects/rlhf_ppo/results")
WORDS = Path(__file__).with_name("figures.es.toml")
ARMS = {"target": "KL steered to a target", "free": "no penalty", "long": "no penalty, twice as long"}
DASHES = ("-", "--", ":")
PLOTTED = {
    "proxy": "reward model's reward",
    "gold": "gold reward (points)",
    "kl": "KL a response (nats)",
    "entropy": "entropy a token (nats)",
    "clip_fraction": "share of clipped tokens",
    "value_loss": "value loss",
}


@dataclass(frozen=True, kw_only=True)
class PlotConfig:
    """Draw the figures of one run, or of the experiments."""

    run: Path | None = None
    """Directory of a run: its curves are drawn there as curves.png. By default results/curves.csv is drawn."""
    results: Path = RESULTS
    """Folder of curves.csv; the figures go there too."""


def main(config: PlotConfig) -> list[Path]:
    """Draw. Returns the figures."""
    if config.run is not None:
        points = [{"arm": "target", "seed": 0, **point} for point in read_log(config.run)]
        plot_curves(points, config.run / "curves.png", title=f"PPO, {config.run.name}")
        return [config.run / "curves.png"]
    points = read_csv(config.results / "curves.csv")
    curves, frontier = config.results / "curves.png", config.results / "proxy_gold.png"
    title = "What happens round by round, with a penalty and without?"
    plot_curves(points, curves, title=title, words=WORDS)
    proxy_against_gold(points, frontier)
    return [curves, frontier]


def read_log(directory: Path) -> list[dict[str, Any]]:
    """The rounds of a run's log.

    Raises:
        UserError: If there is no log, or a line of it is cut.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        raise UserError(f"{path} is not there: --run names the directory of a run")
    points = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            raise UserError(f"{path}:{number}: no JSON; the log may be cut") from None
        if "proxy" in record:
            points.append({**record, "iteration": record["step"]})
    if not points:
        raise UserError(f"{path}: holds no round of PPO yet")
    return points


def stretches(points: list[dict[str, Any]], size: int = 10) -> list[dict[str, Any]]:
    """Means of the long run without a penalty over `size` rounds each: both rewards and what they cost."""
    long = [point for point in points if point["arm"] == "long"]
    rows = []
    for start in range(0, len(long), size):
        rounds = long[start : start + size]
        means = {name: fmean(each[name] for each in rounds) for name in ("proxy", "gold", "kl", "distinct_2")}
        rows.append({"rounds": f"{rounds[0]['iteration']} to {rounds[-1]['iteration']}", **means})
    return rows


def plot_curves(points: list[dict[str, Any]], path: Path, *, title: str, words: Path | None = None) -> None:
    """Six small multiples by iteration: each seed a thin line, the mean of an arm a thick one."""
    xlabel = "round (thin: a seed)"
    with panels(
        path, len(PLOTTED), title=title, xlabel=xlabel, size=(3.6, 2.2), columns=2, share_y=False, words=words
    ) as drawn:
        for axes, (name, label) in zip(drawn, PLOTTED.items(), strict=True):
            axes.set_title(label, fontsize=10, fontweight="normal")
            for index, arm in enumerate(dict.fromkeys(point["arm"] for point in points)):
                seeds = by_seed([point for point in points if point["arm"] == arm], name)
                faint = 0.35 if len(seeds) > 1 else 1.0
                label = ARMS.get(arm, arm)
                for values in seeds.values():
                    alone = None if len(seeds) > 1 else label
                    axes.plot(
                        *zip(*values, strict=True),
                        color=COLOURS[index],
                        ls=DASHES[index],
                        alpha=faint,
                        lw=1,
                        label=alone,
                    )
                if len(seeds) > 1:
                    axes.plot(
                        *zip(*mean_curve(seeds), strict=True), color=COLOURS[index], ls=DASHES[index], label=label
                    )
        if len({point["arm"] for point in points}) > 1:
            legend_below(drawn[0], columns=3)


def by_seed(points: list[dict[str, Any]], name: str) -> dict[int, list[tuple[int, float]]]:
    """(iteration, value) of each seed."""
    seeds: dict[int, list[tuple[int, float]]] = {}
    for point in points:
        seeds.setdefault(point["seed"], []).append((point["iteration"], point[name]))
    return seeds


def mean_curve(seeds: dict[int, list[tuple[int, float]]]) -> list[tuple[int, float]]:
    """Mean over the seeds at every iteration that all of them reached."""
    shortest = min(map(len, seeds.values()))
    rows = zip(*(values[:shortest] for values in seeds.values()), strict=True)
    return [(row[0][0], sum(value for _, value in row) / len(row)) for row in rows]


def proxy_against_gold(points: list[dict[str, Any]], path: Path) -> None:
    """Gain of the proxy and of the gold reward over √KL, one panel an arm.

    Both are in deviations of the reward over the reference's responses, of which the mean is 0: what the proxy gains
    and the gold reward does not was gained by fooling the reward model.

    Source: Gao et al. 2023, "Scaling Laws for Reward Model Overoptimization", figure 1.
    """
    arms = list(dict.fromkeys(point["arm"] for point in points))
    title, ylabel = "Does the gold reward follow the learned one as the policy moves away?", "gain (deviations)"
    xlabel, size = "√KL (nats a response)", (2.45, 3.0)
    with panels(path, len(arms), title=title, xlabel=xlabel, ylabel=ylabel, size=size, words=WORDS) as drawn:
        for axes, arm in zip(drawn, arms, strict=True):
            mine = [point for point in points if point["arm"] == arm]
            for index, (name, label) in enumerate({"proxy": "reward model", "gold_gain": "gold"}.items()):
                look = {"color": COLOURS[index], "marker": MARKERS[index], "label": label}
                axes.plot(*binned(mine, name), markersize=4, **look)  # type: ignore[arg-type]
            axes.axhline(0, color="#000000", linewidth=0.8)
            axes.set_xlim(0, 1.05 * math.sqrt(max(point["kl"] for point in points)))
            axes.set_title(ARMS.get(arm, arm).replace(", ", ",\n"), fontsize=10)
        legend_below(drawn[0])


def binned(points: list[dict[str, Any]], name: str, size: int = 8) -> tuple[list[float], list[float]]:
    """Means of √KL and of the gain, over rounds of like divergence, `size` at a time."""
    ordered = sorted((math.sqrt(max(point["kl"], 0)), point[name]) for point in points)
    groups = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    groups = [group for group in groups if len(group) == size] or groups
    return [sum(r for r, _ in g) / len(g) for g in groups], [sum(v for _, v in g) / len(g) for g in groups]


if __name__ == "__main__":
    command(main, PlotConfig)
