"""What the runs came to, method by method, and the README's tables that are made of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.report import markdown_table, mean_sd, spread

README = Path("projects/lora/README.md")


def method(row: dict[str, Any]) -> str:
    """What the README calls a run."""
    rank = f"r = {row['rank']}"
    names = {"full": "full fine-tuning", "head": "frozen encoder, linear head", "peft": f"PEFT's LoRA, {rank}"}
    root = ", α/√r" if row["scaling"] == "alpha/sqrt(r)" else ""
    return names.get(row["arm"], f"LoRA, {rank}{root}")


def summarise(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a method: mean and sample standard deviation over its seeds, ordered by trained parameters."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(method(row), []).append(row)
    summary = []
    for name, runs in groups.items():
        summary.append(
            {
                "method": name,
                "seeds": len(runs),
                **mean_sd(runs, "accuracy", "macro_f1"),
                "trained": runs[0]["trained"],
                "share": runs[0]["trained"] / runs[0]["parameters"],
                "lr": runs[0]["lr"],
                "lr_ratio": runs[0]["lr_ratio"],
            }
        )
    return sorted(summary, key=lambda row: (row["trained"], row["method"]))


def markdown(summary: list[dict[str, Any]]) -> str:
    """The README's table, with each method's distance to full fine-tuning in points."""
    full = next(row["accuracy"] for row in summary if row["method"] == "full fine-tuning")
    columns = ["trained", "accuracy", "macro-F1", "to full, points", "parameters", "rate of A, ratio", "seeds"]
    lines = []
    for row in summary:
        rates = f"{row['lr']:g}, ×{row['lr_ratio']:g}" if "LoRA" in row["method"] else f"{row['lr']:g}"
        lines.append(
            [
                row["method"],
                spread(row, "accuracy"),
                spread(row, "macro_f1"),
                f"{100 * (row['accuracy'] - full):+.2f}",
                f"{row['trained']:,} ({row['share']:.2%})",
                "L-BFGS" if "head" in row["method"] else rates,
                str(row["seeds"]),
            ]
        )
    return markdown_table(columns, lines)


def bench_markdown(rows: list[dict[str, Any]]) -> str:
    """The README's table of the benchmark."""
    names = {"lora": "LoRA, ours", "peft": "PEFT's LoRA", "full": "full fine-tuning"}
    columns = ["arm", "ms a step, median", "ours / arm, median (quartiles)", "peak memory", "its growth in training"]
    lines = [
        [
            names[row["arm"]],
            f"{row['step_ms']:.0f}",
            f"{row['lora_over_arm']:.3f} ({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f})",
            f"{row['peak_mb']:.0f} MB",
            f"{row['growth_mb']:.0f} MB",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def pruning_markdown(rows: list[dict[str, Any]], level: float = 0.5) -> str:
    """The README's table of pruning and quantisation: nothing done, then every order at one level."""
    columns = ["done, in order", "accuracy", "zeros", "file", "compressed", "one question"]
    lines = []
    nothing = [row for row in rows if row["level"] == 0 and row["variant"] in ("merge, prune", "merge, prune, int8")]
    for row in [*nothing, *(row for row in rows if row["level"] == level)]:
        done = f"{row['variant']} ({row['level']:.0%})".replace("merge, prune, int8 (0%)", "merge, int8")
        lines.append(
            [
                done.replace("merge, prune (0%)", "merge"),
                f"{row['accuracy']:.4f}",
                f"{row['zeros']:.1%}",
                f"{row['file_mb']:.1f} MB",
                f"{row['zip_mb']:.1f} MB",
                f"{row['ms_one_question']:.1f} ms",
            ]
        )
    return markdown_table(columns, lines)
