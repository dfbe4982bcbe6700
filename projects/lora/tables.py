"""Rows to CSV and back, and the README's tables, which are made from them."""

import csv
import io
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import write_text

README = Path("projects/lora/README.md")


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of equal keys atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows with numbers as numbers.

    Raises:
        UserError: If there is no such file.
    """
    if not path.exists():
        raise UserError(f"{path} is not there: run make results-lora first")
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


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
        accuracies, f1s = [r["accuracy"] for r in runs], [r["macro_f1"] for r in runs]
        summary.append(
            {
                "method": name,
                "seeds": len(runs),
                "accuracy": statistics.mean(accuracies),
                "accuracy_sd": statistics.stdev(accuracies) if len(runs) > 1 else 0.0,
                "macro_f1": statistics.mean(f1s),
                "macro_f1_sd": statistics.stdev(f1s) if len(runs) > 1 else 0.0,
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
    lines = [
        "| trained | accuracy | macro-F1 | to full, points | parameters | rate of A, ratio | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in summary:
        rates = f"{row['lr']:g}, ×{row['lr_ratio']:g}" if "LoRA" in row["method"] else f"{row['lr']:g}"
        lines.append(
            f"| {row['method']} | {_spread(row, 'accuracy')} | {_spread(row, 'macro_f1')} "
            f"| {100 * (row['accuracy'] - full):+.2f} | {row['trained']:,} ({row['share']:.2%}) "
            f"| {'L-BFGS' if 'head' in row['method'] else rates} | {row['seeds']} |"
        )
    return "\n".join(lines)


def _spread(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.4f} ± {row[name + '_sd']:.4f}"


def bench_markdown(rows: list[dict[str, Any]]) -> str:
    """The README's table of the benchmark."""
    names = {"lora": "LoRA, ours", "peft": "PEFT's LoRA", "full": "full fine-tuning"}
    lines = [
        "| arm | ms a step, median | ours / arm, median (quartiles) | peak memory | its growth in training |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {names[row['arm']]} | {row['step_ms']:.0f} | {row['lora_over_arm']:.3f} "
        f"({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}) | {row['peak_mb']:.0f} MB | {row['growth_mb']:.0f} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def pruning_markdown(rows: list[dict[str, Any]], level: float = 0.5) -> str:
    """The README's table of pruning and quantisation: nothing done, then every order at one level."""
    lines = ["| done, in order | accuracy | zeros | file | compressed | one question |", "|---|---|---|---|---|---|"]
    nothing = [row for row in rows if row["level"] == 0 and row["variant"] in ("merge, prune", "merge, prune, int8")]
    for row in [*nothing, *(row for row in rows if row["level"] == level)]:
        done = f"{row['variant']} ({row['level']:.0%})".replace("merge, prune, int8 (0%)", "merge, int8")
        lines.append(
            f"| {done.replace('merge, prune (0%)', 'merge')} | {row['accuracy']:.4f} | {row['zeros']:.1%} "
            f"| {row['file_mb']:.1f} MB | {row['zip_mb']:.1f} MB | {row['ms_one_question']:.1f} ms |"
        )
    return "\n".join(lines)


def put_into_readme(readme: Path, name: str, table: str) -> None:
    """Replace what stands between the marks `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
        UserError: If a mark is missing.
    """
    start, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, begun, rest = readme.read_text(encoding="utf-8").partition(start)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise UserError(f"{readme} lacks the marks {start} and {end}")
    write_text(readme, f"{before}{start}\n{table}\n{end}{after}")
