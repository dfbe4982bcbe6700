"""What the runs came to, method by method, and the README's tables that are made of it."""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from projects.adapters.config import Config
from projects.adapters.models.adapter import KINDS
from shared.report import markdown_table, mean_sd, spread

README = Path("projects/adapters/README.md")
TEXTS = ("trec", "movie_reviews")
LEVELS = ("ner-1", "ner-2", "ner-3")
FULL = "full fine-tuning"
REACHED = 0.95  # share of full fine-tuning's score that a run has to reach

Rows = list[dict[str, Any]]


def method(row: dict[str, Any]) -> str:
    """What the README calls a run."""
    size = row["size"]
    names = {
        "full": FULL,
        "scratch": "from scratch",
        "lora": f"PEFT's LoRA, r = {size}",
        "peer": f"`adapters` library, m = {size}",
    }
    return names.get(row["arm"], f"{row['arm']}, m = {size}")


def summarise(rows: Iterable[dict[str, Any]]) -> Rows:
    """One row a dataset and method: mean and sample standard deviation over its seeds.

    `score` is entity F1 where words are tagged, else accuracy. Ordered by dataset and by trained parameters.
    """
    groups: dict[tuple[str, str], Rows] = {}
    for row in rows:
        groups.setdefault((row["dataset"], method(row)), []).append(row)
    summary = [
        {
            "dataset": dataset,
            "method": name,
            "seeds": len(runs),
            **mean_sd(runs, "score", "accuracy", "macro_f1"),
            "trained": runs[0]["trained"],
            "share": runs[0]["trained"] / runs[0]["parameters"],
            "lr": runs[0]["lr"],
        }
        for (dataset, name), runs in groups.items()
    ]
    return sorted(summary, key=lambda row: (row["dataset"], row["trained"], row["method"]))


def texts_markdown(summary: Rows) -> str:
    """Accuracy on the two classification tasks, each with its distance to full fine-tuning in points."""
    columns = ["trained", "TREC", "to full, points", "movie reviews", "to full, points", "parameters (TREC)", "rates"]
    lines = []
    for row in (row for row in summary if row["dataset"] == "trec"):
        both = [_of(summary, dataset, row["method"]) for dataset in TEXTS]
        scores = [text for dataset, each in zip(TEXTS, both, strict=True) for text in _with_gap(summary, dataset, each)]
        rates = ", ".join(f"{each['lr']:g}" if each else "–" for each in both)
        lines.append([row["method"], *scores, f"{row['trained']:,} ({row['share']:.2%})", rates])
    return markdown_table(columns, lines)


def ner_markdown(summary: Rows) -> str:
    """Strict entity F1 by level."""
    names = [row["method"] for row in summary if row["dataset"] == "ner-2"]
    lines = []
    for name in names:
        found = [_of(summary, level, name) for level in LEVELS]
        lines.append([name, *(spread(row, "score") if row else "–" for row in found)])
    return markdown_table(["trained", "level 1", "level 2", "level 3"], lines)


def _of(summary: Rows, dataset: str, name: str) -> dict[str, Any] | None:
    return next((row for row in summary if (row["dataset"], row["method"]) == (dataset, name)), None)


def _with_gap(summary: Rows, dataset: str, row: dict[str, Any] | None) -> list[str]:
    full = _of(summary, dataset, FULL)
    if row is None or full is None:
        return ["–", "–"]
    return [spread(row, "score"), f"{100 * (row['score'] - full['score']):+.2f}"]


# ---------------------------------------------------------------- time to 95 % of full fine-tuning


def time_to_reach(runs: Rows, curves: Rows, bench: Rows) -> Rows:
    """Steps and seconds until a run's validation curve reaches REACHED × full fine-tuning's validation score.

    Seconds are steps × the step time of the interleaved benchmark, since trainings run beside other work. A run that
    never gets there has no number and counts as beyond every other in the median.
    """
    final = [row for row in runs if row["final"]]
    times = {(row["dataset"], row["arm"]): row["step_ms"] for row in bench}
    found = []
    for dataset, name in sorted({(row["dataset"], method(row)) for row in final if row["arm"] != "peer"}):
        mine = [row for row in final if (row["dataset"], method(row)) == (dataset, name)]
        full = [r["validation_score"] for r in final if (r["dataset"], r["arm"]) == (dataset, "full")]
        target = REACHED * statistics.mean(full)
        steps = sorted(_first_step(curves, row["cell"], target) for row in mine)
        middle = steps[len(steps) // 2]
        ms = _step_ms(times, dataset, mine[0])
        reached = sum(step < float("inf") for step in steps)
        seconds = round(middle * ms / 1000, 2) if ms is not None and middle < float("inf") else ""
        shown = int(middle) if middle < float("inf") else ""
        row = {"dataset": dataset, "method": name, "target": round(target, 4), "reached": reached, "seeds": len(steps)}
        found.append({**row, "steps": shown, "step_ms": "" if ms is None else ms, "seconds": seconds})
    return found


def _step_ms(times: dict[tuple[str, str], float], dataset: str, run: dict[str, Any]) -> float | None:
    """Of the arm and size that was measured; a step from scratch is a step of full fine-tuning."""
    if run["arm"] in KINDS and run["size"] != Config().bottleneck:
        return None
    return times.get((dataset, "full" if run["arm"] == "scratch" else run["arm"]))


def _first_step(curves: Rows, cell: str, target: float) -> float:
    return float(min((p["step"] for p in curves if p["cell"] == cell and p["score"] >= target), default=float("inf")))


def time_markdown(rows: Rows) -> str:
    """The README's table of the two classification tasks and of level 2."""
    columns = ["task", "trained", "score to reach", "reached by", "steps, median", "ms a step", "seconds"]
    lines = [
        [
            row["dataset"],
            row["method"],
            f"{row['target']:.3f}",
            f"{row['reached']} of {row['seeds']}",
            str(row["steps"]) if row["steps"] != "" else "never",
            f"{row['step_ms']:.0f}" if row["step_ms"] != "" else "–",
            f"{row['seconds']:.1f}" if row["seconds"] != "" else "–",
        ]
        for row in rows
        if row["dataset"] in (*TEXTS, "ner-2")
    ]
    return markdown_table(columns, lines)


# ---------------------------------------------------------------- initialisations and benchmark


def summarise_init(rows: Rows) -> Rows:
    """One row a setting and rate: means over seeds, and the share of seeds whose training diverged."""
    groups: dict[tuple[str, float], Rows] = {}
    for row in rows:
        groups.setdefault((row["setting"], row["lr"]), []).append(row)
    return [
        {
            "setting": setting,
            "lr": lr,
            "seeds": len(runs),
            **mean_sd(runs, "deviation", "loss_after"),
            "diverged": statistics.mean(row["diverged"] for row in runs),
        }
        for (setting, lr), runs in groups.items()
    ]


def init_markdown(summary: Rows) -> str:
    """One line a setting, its rates beside each other."""
    rates = sorted({row["lr"] for row in summary})
    columns = ["drawn", "initial deviation", *(f"loss after, rate {rate:g}" for rate in rates), "diverged"]
    lines = []
    for setting in dict.fromkeys(row["setting"] for row in summary):
        mine = {row["lr"]: row for row in summary if row["setting"] == setting}
        diverged = ", ".join(f"{mine[rate]['diverged']:.0%}" for rate in rates)
        losses = [spread(mine[rate], "loss_after", 2) for rate in rates]
        lines.append([setting, spread(mine[rates[0]], "deviation", 3), *losses, diverged])
    return markdown_table(columns, lines)


BENCH_NAMES = {
    "bottleneck": "bottleneck adapters on hooks",
    "inline": "the same, written into the blocks",
    "parallel": "parallel adapters on hooks",
    "lora": "PEFT's LoRA",
    "peer": "`adapters` library",
    "full": "full fine-tuning",
}


def bench_markdown(rows: Rows) -> str:
    """The README's table of the benchmark."""
    columns = ["task", "arm", "ms a step, median", "ours on hooks / arm, median (quartiles)", "peak memory"]
    lines = [
        [
            row["dataset"],
            BENCH_NAMES[row["arm"]],
            f"{row['step_ms']:.0f}",
            f"{row['ours_over_arm']:.3f} ({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f})",
            f"{row['peak_mb']:.0f} MB",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)
