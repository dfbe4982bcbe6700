"""What the runs came to, arm by arm, the paired tests between them, and the README's tables that are made of it."""

import itertools
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from shared.report import markdown_table, mean_sd, spread

README = Path("projects/hf_finetune/README.md")
ARMS = ("plain", "mixout", "AWP", "AWP + mixout")
SCORES = ("accuracy", "precision", "recall", "macro_f1", "ece")
FAULT_TEXT = {
    "RuntimeError": "torch's RuntimeError",
    "MemoryError": "MemoryError",
    "SIGKILL": "SIGKILL",
    "RLIMIT_AS": "a real RLIMIT_AS",
}


def summarise(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm: means, sample deviations, the worst seed, and the paired test against plain training."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["arm"], []).append(row)
    plain = {row["seed"]: row for row in groups["plain"]}
    summary = []
    for name in (arm for arm in ARMS if arm in groups):
        runs = groups[name]
        pairs = [row["macro_f1"] - plain[row["seed"]]["macro_f1"] for row in runs if row["seed"] in plain]
        summary.append(
            {
                "arm": name,
                "seeds": len(runs),
                **mean_sd(runs, *SCORES),
                "worst_macro_f1": min(row["macro_f1"] for row in runs),
                "worst_accuracy": min(row["accuracy"] for row in runs),
                "gain_macro_f1": statistics.mean(pairs),
                "p_value": sign_flip_p(pairs),
                "lr": runs[0]["lr"],
                "awp": runs[0]["awp"],
                "mixout": runs[0]["mixout"],
            }
        )
    return summary


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided exact p of a mean difference of pairs: the share of sign flips whose mean is at least as far from 0.

    Exact for few seeds and without assuming a normal distribution; with n pairs it cannot be below 2/2ⁿ (0.0625 for 5).

    >>> sign_flip_p([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625

    Source: Fisher 1935, "The Design of Experiments", §21.
    """
    seen = abs(sum(differences))
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= seen - 1e-12 for signs in flips)
    return far / len(flips)


def results_markdown(summary: list[dict[str, Any]], baselines: list[dict[str, Any]]) -> str:
    """The README's table: the baselines, which train no network, and the four arms."""
    columns = ["trained", "accuracy", "macro-F1", "worst seed", "to plain, points (p)", "ECE", "settings", "seeds"]
    lines = [
        [
            f"{row['baseline']}, logistic regression",
            f"{row['accuracy']:.4f}",
            f"{row['macro_f1']:.4f}",
            "",
            "",
            f"{row['ece']:.4f}",
            f"C = {row['C']:g}",
            "",
        ]
        for row in baselines
    ]
    for row in summary:
        settings = [f"rate {row['lr']:g}"]
        settings += [f"γ = {row['awp']:g}"] if row["awp"] else []
        settings += [f"p = {row['mixout']:g}"] if row["mixout"] else []
        gain = f"{100 * row['gain_macro_f1']:+.2f} ({row['p_value']:.4f})" if row["arm"] != "plain" else ""
        lines.append(
            [
                row["arm"],
                spread(row, "accuracy"),
                spread(row, "macro_f1"),
                f"{row['worst_macro_f1']:.4f}",
                gain,
                spread(row, "ece"),
                ", ".join(settings),
                str(row["seeds"]),
            ]
        )
    return markdown_table(columns, lines)


def faults_markdown(rows: list[dict[str, Any]]) -> str:
    """The README's table of the runs that were broken on purpose."""
    columns = ["how memory ran out", "ended with", "steps", "accuracy", "macro-F1", "in sd of plain's seeds"]
    lines = [
        [
            FAULT_TEXT[row["fault"]],
            f"{row['micro_batch']} × {16 // row['micro_batch']}",
            str(row["steps"]),
            f"{row['accuracy']:.4f}",
            f"{row['macro_f1']:.4f}",
            f"{row['off_in_sd']:+.2f}",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def bench_markdown(rows: list[dict[str, Any]]) -> str:
    """The README's table of the benchmark."""
    columns = ["step", "ms, median", "/ plain, median (quartiles)", "peak memory"]
    lines = [
        [
            row["arm"],
            f"{row['step_ms']:.0f}",
            f"{row['over_plain']:.3f} ({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f})",
            f"{row['peak_mb']:.0f} MB",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)
