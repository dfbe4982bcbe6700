"""The README's tables, made from the files of results/."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shared.report import markdown_table, mean_sd, put_into_readme, read_csv, spread

README = Path("projects/pretrain_lm/README.md")
ARMS = {"ours": "ours", "learned": "ours, learned positions", "gpt2": "transformers' GPT2LMHeadModel"}


def fill_readme(readme: Path, results: Path) -> None:
    """Put every table of the runs between its marks; the benchmark's are put there by the benchmark."""
    for name, text in tables_of(results).items():
        put_into_readme(readme, name, text)


def tables_of(results: Path) -> dict[str, str]:
    """Name of a README's table → the table."""
    made = {name: make(read_csv(results / f"{name}.csv")) for name, make in MAKERS.items()}
    return {**made, "samples": (results / "samples.md").read_text(encoding="utf-8").rstrip()}


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
    columns = ["model", "test PPL", "test bits per byte", "validation PPL", "numbers it holds"]
    lines = [
        [
            row["model"],
            f"{row['test_perplexity']:.2f}",
            f"{row['test_bits_per_byte']:.4f}",
            f"{row['validation_perplexity']:.2f}",
            f"{row['parameters']:,}",
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
    """Speed of both arms."""
    columns = ["model", "ms a step", "tokens a second", "ours is … × as fast", "quartiles"]
    lines = [
        [
            ARMS[row["arm"]],
            f"{row['step_ms']:.1f}",
            f"{row['tokens_per_second']:,}",
            f"{row['ours_over_arm']:.3f}",
            f"{row['ratio_q1']:.3f} to {row['ratio_q3']:.3f}",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def consumption_markdown(rows: list[dict[str, Any]]) -> str:
    """Speeds of the default run's model and of its loader."""
    lines = [[row["what"], f"{row['tokens_per_second']:,}", f"{row['over_model']:.1f}"] for row in rows]
    return markdown_table(["what", "tokens a second", "over the model's"], lines)


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
    shown = {
        "distinct_1": "distinct-1",
        "distinct_2": "distinct-2",
        "self_bleu": "self-BLEU",
        "repetition_4": "repeated 4-grams",
        "similarity": "similarity",
        "perplexity": "PPL (SmolLM2)",
    }
    lines = [[row["way"], *(f"{row[name]:.{1 if name == 'perplexity' else 3}f}" for name in shown)] for row in rows]
    return markdown_table(["written by", *shown.values()], lines)


MAKERS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "news": news_markdown,
    "masking": masking_markdown,
    "context": context_markdown,
    "peer": peer_markdown,
    "loader": loader_markdown,
    "frontier": frontier_markdown,
}
