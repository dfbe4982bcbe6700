"""The README's tables, made from the files of results/."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.report import markdown_table, mean_sd, put_into_readme, read_csv, spread

README = Path("projects/pretrain_lm/README.md")
ARMS = {"ours": "ours", "gpt2": "transformers' GPT2LMHeadModel"}


def tables_of(results: Path) -> dict[str, str]:
    """Name of a README's table → the table."""
    made = {
        name: make(read_csv(results / f"{name}.csv"))
        for name, make in (
            ("news", news_markdown),
            ("masking", masking_markdown),
            ("context", context_markdown),
            ("loader", loader_markdown),
            ("frontier", frontier_markdown),
        )
    }
    if (results / "bench.csv").exists():
        made["peer"] = peer_markdown(read_csv(results / "peer.csv"), read_csv(results / "bench.csv"))
    return {**made, "samples": (results / "samples.md").read_text(encoding="utf-8").rstrip()}


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


def _grouped(
    rows: Iterable[dict[str, Any]], by: tuple[str, ...], columns: tuple[str, ...]
) -> list[dict[str, Any]]:
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


def peer_markdown(rows: list[dict[str, Any]], bench: list[dict[str, Any]]) -> str:
    """Loss over seeds and speed of both arms."""
    speed = {row["arm"]: row for row in bench}
    columns = ["model", "parameters", "validation loss", "seeds", "characters a second", "ours / theirs (quartiles)"]
    lines = [
        [
            ARMS[row["arm"]],
            f"{row['parameters']:,}",
            spread(row, "validation_loss"),
            str(row["seeds"]),
            f"{speed[row['arm']]['tokens_per_second']:,.0f}",
            _ratio(speed[row["arm"]]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['ours_over_arm']:.3f} ({row['ratio_q1']:.3f} to {row['ratio_q3']:.3f})"


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
    columns = ["written by", "distinct-1", "distinct-2", "self-BLEU", "repeated 4-grams", "similarity", "PPL (SmolLM2)"]
    names = ("distinct_1", "distinct_2", "self_bleu", "repetition_4", "similarity")
    lines = [[row["way"], *(f"{row[name]:.3f}" for name in names), f"{row['perplexity']:.1f}"] for row in rows]
    return markdown_table(columns, lines)
