"""The README's tables, made from the files of results/."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.report import markdown_table, mean_sd, put_into_readme, read_csv, spread

README = Path("projects/pretrain_lm/README.md")
MISSING = "Not measured yet."
FIGURES = {
    "news": {"epochs.png": "Validation perplexity by epoch"},
    "masking": {"masking.png": "Loss by objective and mask ratio"},
    "frontier": {"frontier.png": "Diversity against perplexity", "similarity.png": "Diversity against similarity"},
    "loader": {"memory.png": "The loader's memory"},
}
ARMS = {"ours": "ours", "gpt2": "transformers' GPT2LMHeadModel"}


def tables_of(results: Path) -> dict[str, str]:
    """Name of a README's table → the table."""
    made = {
        name: make(read_csv(results / f"{name}.csv")) if (results / f"{name}.csv").exists() else MISSING
        for name, make in (
            ("news", news_markdown),
            ("masking", masking_markdown),
            ("context", context_markdown),
            ("loader", loader_markdown),
            ("frontier", frontier_markdown),
        )
    }
    peer, bench, consumption = (
        read_csv(results / f"{name}.csv") if (results / f"{name}.csv").exists() else []
        for name in ("peer", "bench", "consumption")
    )
    made["peer"] = peer_markdown(peer) if peer else MISSING
    made["bench"] = bench_markdown([*bench, *consumption]) if bench else MISSING
    made["status"] = status(json.loads((results / "missing.json").read_text(encoding="utf-8")))
    for name, pictures in FIGURES.items():
        there = [f"![{title}](results/{file})" for file, title in pictures.items() if (results / file).exists()]
        made[name] = "\n\n".join([made[name], *there])
    samples = results / "samples.md"
    return {**made, "samples": samples.read_text(encoding="utf-8").rstrip() if samples.exists() else MISSING}


def status(missing: list[str]) -> str:
    """A line about runs that are not made yet; nothing if all are."""
    if not missing:
        return "Every run behind the tables is made."
    studies = Counter(name.partition("-")[0] for name in missing)
    counts = ", ".join(f"{study} {count}" for study, count in studies.items())
    return (
        f"{len(missing)} runs are not made yet ({counts}; [results/missing.json](results/missing.json)): "
        "`make results-pretrain_lm` goes on with them."
    )


def fill_readme(readme: Path, results: Path) -> None:
    """Put every table between its marks."""
    for name, text in tables_of(results).items():
        put_into_readme(readme, name, text)


def summarise_masking(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each objective and ratio: means and deviations over seeds."""
    return _grouped(rows, ("objective", "mask_ratio"), ("validation_loss", "test_loss"))


def summarise_peer(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm."""
    return _grouped(rows, ("arm", "parameters"), ("validation_loss",))


def _grouped(rows: Iterable[dict[str, Any]], by: tuple[str, ...], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return [
        {**dict(zip(by, key, strict=True)), "seeds": len(some), **mean_sd(some, *columns)}
        for key, some in groups.items()
    ]


def news_markdown(rows: list[dict[str, Any]]) -> str:
    """Every model of the news by what it makes of the held-out articles."""
    columns = ["model", "test PPL", "test bits per byte", "validation PPL", "parameters"]
    lines = [
        [
            row["model"],
            f"{row['test_perplexity']:.2f}",
            f"{row['test_bits_per_byte']:.4f}",
            f"{row['validation_perplexity']:.2f}",
            f"{row['parameters']:,}" if row["parameters"] else "–",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def masking_markdown(rows: list[dict[str, Any]]) -> str:
    """Losses on the same held-out masks."""
    columns = ["masks in training", "share masked", "validation loss", "test loss", "seeds"]
    lines = [
        [
            row["objective"],
            f"{row['mask_ratio']:.0%}",
            spread(row, "validation_loss"),
            spread(row, "test_loss"),
            str(row["seeds"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def context_markdown(rows: list[dict[str, Any]]) -> str:
    """Perplexity by context."""
    columns = ["context", "chunks a step", "steps", "test PPL", "test bits per byte"]
    lines = [
        [
            str(row["context"]),
            str(row["batch_size"]),
            f"{row['steps']:,}",
            f"{row['test_perplexity']:.2f}",
            f"{row['test_bits_per_byte']:.4f}",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def peer_markdown(rows: list[dict[str, Any]]) -> str:
    """Loss over seeds of both arms."""
    columns = ["model", "parameters", "validation loss", "seeds"]
    lines = [
        [ARMS[row["arm"]], f"{row['parameters']:,}", spread(row, "validation_loss"), str(row["seeds"])] for row in rows
    ]
    return markdown_table(columns, lines)


def bench_markdown(rows: list[dict[str, Any]]) -> str:
    """Speeds of both arms, and of the news model and its loader."""
    columns = ["what", "tokens a second", "ratio (quartiles)"]
    lines = [
        [
            f"training, {ARMS[row['arm']]}",
            f"{row['tokens_per_second']:,}",
            f"ours is {row['ours_over_arm']:.3f} × as fast ({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f})",
        ]
        if "arm" in row
        else [f"news, {row['what']}", f"{row['tokens_per_second']:,}", f"{row['over_model']:.1f} × the model's"]
        for row in rows
    ]
    return markdown_table(columns, lines)


def loader_markdown(rows: list[dict[str, Any]]) -> str:
    """Memory by size."""
    columns = ["corpus", "tokens", "peak memory", "over 1 ×"]
    lines = [
        [f"{row['copies']} ×", f"{row['tokens']:,}", f"{row['peak_mb']:.0f} MB", f"{row['over_one']:.3f}"]
        for row in rows
    ]
    return markdown_table(columns, lines)


def frontier_markdown(rows: list[dict[str, Any]]) -> str:
    """Diversity and coherence of every way of sampling."""
    names = {
        "distinct_1": "distinct-1",
        "distinct_2": "distinct-2",
        "self_bleu": "self-BLEU",
        "repetition_4": "repeated 4-grams",
        "similarity": "similarity",
        "perplexity": "PPL (SmolLM2)",
    }
    shown = [name for name in names if name in rows[0]]  # coherence is judged when the model is done
    lines = [[row["way"], *(f"{row[name]:.{1 if name == 'perplexity' else 3}f}" for name in shown)] for row in rows]
    return markdown_table(["written by", *(names[name] for name in shown)], lines)
