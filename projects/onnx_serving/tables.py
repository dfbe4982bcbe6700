"""The README's tables, made of the files in results/."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from projects.onnx_serving.places import RESULTS
from shared.report import markdown_table, mean_sd, put_into_readme, read_csv, spread

README = Path("projects/onnx_serving/README.md")
SCORES = ("films_f1", "films_exact", "no_answer_f1", "wordings_f1", "wordings_exact", "wordings_no_answer_f1")

AGREEMENT = ("answered_f1", "no_answer_f1", "same", "same_trained", "same_held_out")


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row: mean and sample standard deviation of every score over the seeds."""
    return [{"seeds": len(runs), **mean_sd(runs, *SCORES)}]


def qa_markdown(summary: Sequence[dict[str, Any]]) -> str:
    """Scores on held-out films by wording."""
    (row,) = summary
    columns = ["asked of held-out films", "F1", "exact match", "F1 of “no answer”", "seeds"]
    return markdown_table(
        columns,
        [
            [
                "in wordings as trained",
                *(spread(row, n) for n in SCORES[:2]),
                spread(row, SCORES[2]),
                str(row["seeds"]),
            ],
            [
                "in wordings never seen",
                *(spread(row, n) for n in SCORES[3:5]),
                spread(row, SCORES[5]),
                str(row["seeds"]),
            ],
        ],
    )


def summarise_answers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a backend: mean and sample standard deviation over the seeds."""
    summary = []
    for backend in dict.fromkeys(row["backend"] for row in rows):
        mine = [row for row in rows if row["backend"] == backend]
        kept = {name: mine[0][name] for name in ("questions", "int8_products")}
        summary.append({"backend": backend, "seeds": len(mine), **kept, **mean_sd(mine, *AGREEMENT)})
    return summary


def answers_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """What each backend answers on held-out films."""
    columns = [
        "backend",
        "seeds × questions",
        "F1",
        "F1 of “no answer”",
        "same answers as torch",
        "in trained wordings",
        "in others",
        "int8 products",
    ]
    lines = [
        [
            row["backend"],
            f"{row['seeds']} × {row['questions']}",
            *(spread(row, name) for name in AGREEMENT[:2]),
            *(percent(row, name) for name in AGREEMENT[2:]),
            str(row["int8_products"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def percent(row: dict[str, Any], name: str) -> str:
    """A share as `shared.report.spread` shows a number."""
    if row["seeds"] == 1:
        return f"{row[name]:.2%}"
    return f"{row[name]:.2%} ± {row[name + '_sd']:.2%}"


def smoothing_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """What evening out the activations brings to int8, on validation films."""
    columns = ["α", "questions", "mean distance of the margins", "same answers as float32"]
    lines = [
        [str(row["strength"]), str(row["questions"]), f"{row['margin_distance']:.3f}", f"{row['same']:.2%}"]
        for row in rows
    ]
    return markdown_table(columns, lines)


def texts_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """What each decoder writes."""
    columns = [
        "decoder",
        "prompts",
        "batched = one at a time",
        "same text as transformers' generate",
        "same tokens before the first that differs",
    ]
    lines = [
        [
            row["backend"],
            str(row["prompts"]),
            f"{row['batched_same']:.1%}",
            f"{row['same']:.1%}",
            f"{row['common']:.1%}",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def speed_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Median latencies of the encoder by shape, with each arm's gain over torch in float32."""
    arms = list(dict.fromkeys(row["arm"] for row in rows if row["task"] == "encode"))
    lines = []
    for shape in dict.fromkeys(shape_of(row) for row in rows if row["task"] == "encode"):
        mine = {row["arm"]: row for row in rows if row["task"] == "encode" and shape_of(row) == shape}
        cells = [f"{mine[arm]['p50_ms']:.1f} ms (×{mine[arm]['gain']:.2f})" for arm in arms]
        lines.append([f"{shape[0]} × {shape[1]}", str(shape[2]), *cells])
    return markdown_table(["rows × tokens", "threads", *arms], lines)


def shape_of(row: dict[str, Any]) -> tuple[int, int, int]:
    """Rows, tokens and threads."""
    return row["rows"], row["tokens"], row["threads"]


def generation_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Generated tokens a second, with the gain over the library's own loop at the same number of rows."""
    mine = [row for row in rows if row["task"] != "encode"]
    names = {"generate": "with the cache", "recompute": "without the cache", "library": "its own loop and cache"}
    lines = [
        [
            row["arm"],
            names[row["task"]],
            str(row["rows"]),
            f"{row['p50_ms']:.0f} ms",
            f"{row['per_second']:.1f}",
            f"×{row['gain']:.2f}",
        ]
        for row in sorted(mine, key=lambda row: (row["rows"], row["per_second"]))
    ]
    return markdown_table(["arm", "how", "rows", "p50", "tokens/s", "over transformers"], lines)


def padding_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """What padding costs on real articles."""
    lines = [[row["scheme"], f"{row['waste']:.1%}", f"{row['articles_per_second']:.1f}"] for row in rows]
    return markdown_table(["scheme", "tokens that are padding", "articles/s"], lines)


def server_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Each route alone and saturated."""
    columns = ["route", "alone, p50", "alone, p99", "answers/s, one by one", "answers/s, batched", "gain"]
    lines = [
        [
            f"`{row['route']}`",
            f"{row['alone_p50_ms']:.1f} ms",
            f"{row['alone_p99_ms']:.1f} ms",
            f"{row['unbatched_per_second']:.1f}",
            f"{row['batched_per_second']:.1f}",
            f"×{row['gain']:.2f}",
        ]
        for row in rows
    ]
    return markdown_table(columns, lines)


def load_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A minute at twice the sustainable rate."""
    (row,) = rows
    columns = [
        "arrivals/s",
        "requests",
        "accepted",
        "503",
        "of them with Retry-After",
        "other",
        "p99 of accepted",
        "over p99 alone",
    ]
    keys = ("requests", "accepted", "refused", "refused_with_retry_after", "other")
    line = [f"{row['rate']:.1f}", *(str(row[key]) for key in keys)]
    return markdown_table(columns, [[*line, f"{row['accepted_p99_ms']:.0f} ms", f"×{row['over_unloaded_p99']:.2f}"]])


MADE_FROM = {
    "results": ("summary.csv", qa_markdown),
    "answers": ("answers.csv", answers_markdown),
    "smoothing": ("smoothing.csv", smoothing_markdown),
    "texts": ("texts.csv", texts_markdown),
    "speed": ("bench.csv", speed_markdown),
    "generation": ("bench.csv", generation_markdown),
    "padding": ("padding.csv", padding_markdown),
    "server": ("server.csv", server_markdown),
    "load": ("load.csv", load_markdown),
}


def update(*names: str) -> None:
    """Write these tables into the README."""
    for name in names:
        file, markdown = MADE_FROM[name]
        put_into_readme(README, name, markdown(read_csv(RESULTS / file)))


def update_benchmark() -> None:
    """The tables of the models' speed."""
    update("speed", "generation", "padding")


def update_load() -> None:
    """The tables of the server."""
    update("server", "load")
