"""`make bench-onnx_serving`: torch and ONNX Runtime by request and by batch, against batch size, length and threads.

Each arm lives in a process of its own and has its turn round by round, so that a drift of the machine's speed touches
all of them alike, and no arm's waiting threads disturb another's work.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.benchmarks.arms import ARMS, Cell, Loaded, able, work
from projects.onnx_serving.places import ENCODER_INT8, EXPORTED, QA, RESULTS
from shared import devices
from shared.errors import UserError, command
from shared.files import refuse_unwritable, write_json
from shared.fingerprint import team_key
from shared.fingerprint.results import seal_table
from shared.interleave import Ask, spawned
from shared.progress import table, track
from shared.report import read_csv, write_csv

PROMPT, NEW = 32, 32  # tokens of a prompt, and generated after it
ARTICLES = 64  # rows whose padding is measured
LONGEST = 384  # tokens of an article in one row


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure torch and ONNX Runtime, in float32, bfloat16 and int8, in turn."""

    models: Path = EXPORTED
    """Folder of the exported graphs."""
    qa: Path = QA / "model"
    """Folder of the trained question-answering model, for torch."""
    model: str = "smollm2"
    """The decoder that was exported, for torch."""
    rounds: int = 9
    """How often each arm has its turn in the encoder; generation takes a third of them."""
    threads: int = 0
    """Of every arm; 0 takes one a core."""
    out: Path = RESULTS
    """Where the CSV files go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare torch with ONNX Runtime in the encoder and in generation, and measure what padding costs."""
    if config.rounds < 3:
        raise UserError(f"--rounds {config.rounds}: must be at least 3")
    if not (config.models / "serving.json").is_file():
        raise UserError(f"{config.models} holds no exported models: make run-onnx_serving makes them in {EXPORTED}")
    refuse_unwritable(config.out)
    threads = config.threads or devices.cores()
    encoding, generating = encoder_cells(threads), generation_cells(threads)
    with arms_of(config) as arms:
        encoded = measured(arms, encoding, config.rounds)
        generated = measured(arms, generating, max(2, config.rounds // 3))
    rows = with_gains([row_of(*key, times) for key, times in {**encoded, **generated}.items()])
    padding = padding_rows(config, threads)
    save(config, rows, padding, threads)
    show(rows, padding)
    return rows


def encoder_cells(threads: int) -> list[Cell]:
    """Batch sizes at 64 tokens, lengths at 8 rows, and fewer threads at 1 and 8 rows of 64 tokens."""
    shapes = [(1, 64), (8, 64), (32, 64), (8, 16), (8, 256)]
    cells = [Cell("encode", rows, tokens, threads, calls=8 if rows * tokens <= 512 else 1) for rows, tokens in shapes]
    return cells + [Cell("encode", rows, 64, 1, calls=8) for rows in (1, 8) if threads > 1]


def generation_cells(threads: int) -> list[Cell]:
    """With the cache, without it, and by the library, for one row and for eight."""
    tasks = [(1, "generate"), (1, "library"), (1, "recompute"), (8, "generate"), (8, "library")]
    return [Cell(task, rows, PROMPT, threads, NEW) for rows, task in tasks]


def arms_of(config: BenchConfig) -> AbstractContextManager[dict[str, Ask]]:
    """Each arm in a process of its own, which answers a cell with milliseconds."""
    return spawned(work, {arm: Loaded(arm, config.models, config.qa, config.model) for arm in ARMS})


def measured(arms: Mapping[str, Ask], cells: Sequence[Cell], rounds: int) -> dict[tuple[str, Cell], list[float]]:
    """Milliseconds of each call; the first round is warm-up, and every other round goes backwards."""
    times: dict[tuple[str, Cell], list[float]] = {}
    for turn in track(range(rounds + 1), description=f"{cells[0].task}, rounds", total=rounds + 1):
        for cell in cells:
            for arm in arms if turn % 2 else reversed(list(arms)):
                if able(arm, cell):
                    spent = arms[arm](cell)
                    if turn:
                        times.setdefault((arm, cell), []).extend(spent)
    return times


def row_of(arm: str, cell: Cell, times: list[float]) -> dict[str, Any]:
    """Percentiles and throughput of one arm in one cell."""
    p50, p95, p99 = (float(np.percentile(times, share)) for share in (50, 95, 99))
    made = cell.rows * (cell.new or 1)
    return {
        "arm": "transformers' generate" if cell.task == "library" else arm,
        "task": cell.task,
        "rows": cell.rows,
        "tokens": cell.tokens,
        "threads": cell.threads,
        "calls": len(times),
        "p50_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "per_second": round(1000 * made / p50, 2),
    }


def with_gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their gain: over torch in float32 in the encoder, over the library's own loop in generation."""
    base = {}
    for row in rows:
        encodes = row["task"] == "encode"
        if row["task"] == "library" or (encodes and row["arm"] == "torch float32"):
            base[encodes, row["rows"], row["tokens"], row["threads"]] = row["p50_ms"]
    return [
        {
            **row,
            "gain": round(base[row["task"] == "encode", row["rows"], row["tokens"], row["threads"]] / row["p50_ms"], 3),
        }
        for row in rows
    ]


def padding_rows(config: BenchConfig, threads: int) -> list[dict[str, Any]]:
    """Real articles of many lengths through the int8 graph: alone, in order of arrival, and sorted under a budget."""
    from projects.onnx_serving.data import load_films, questions_of
    from projects.onnx_serving.inference.onnx_backend import OnnxEncoder
    from projects.onnx_serving.inference.padded_batches import planned, run_padded, waste
    from projects.onnx_serving.inference.spans import Cutter

    questions = questions_of(load_films()["test"], seed=1)[:ARTICLES]
    cutter = Cutter((config.models / "qa_tokenizer.json").read_text(encoding="utf-8"), length=LONGEST, overlap=64)
    windows = [cutter(question.text, question.context)[0] for question in questions]
    lengths = [len(window) for window in windows]
    encoder = OnnxEncoder(config.models / ENCODER_INT8, threads)
    schemes: dict[str, dict[str, Any]] = {
        "one at a time": {"budget": 1},
        "batches of 8 as they come": {"budget": 2**30, "largest": 8, "by_length": False},
        "batches of 8 sorted by length": {"budget": 2**30, "largest": 8},
        "sorted, at most 2048 tokens a batch": {"budget": 2048},
    }
    seconds: dict[str, list[float]] = {name: [] for name in schemes}
    for turn in range(4):
        for name, options in schemes.items():
            started = time.perf_counter()
            run_padded(encoder, windows, padding=cutter.padding, **options)
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return [
        {
            "scheme": name,
            "waste": round(waste(lengths, planned(lengths, **options)), 4),
            "articles_per_second": round(len(windows) / float(np.median(seconds[name])), 2),
        }
        for name, options in schemes.items()
    ]


def save(config: BenchConfig, rows: list[dict[str, Any]], padding: list[dict[str, Any]], threads: int) -> None:
    """bench.csv, padding.csv, what they were measured on, the figures and the README's tables."""
    from projects.onnx_serving import figures, tables

    for name, content in (("bench.csv", rows), ("padding.csv", padding)):
        write_csv(config.out / name, content)
        seal_table(config.out / name, project="onnx_serving", key=team_key())
    details = {"rounds": config.rounds, "prompt": PROMPT, "new": NEW, "articles": ARTICLES, "longest": LONGEST}
    machine = {**devices.machine(), "threads": threads, "vnni": vnni()}
    write_json(config.out / "bench.json", {**details, **machine})
    if config.out == RESULTS:
        figures.benchmark(read_csv(config.out / "bench.csv"), config.out)
        tables.update_benchmark()


def vnni() -> bool:
    """Whether the processor multiplies int8 in one step, on which the gain of int8 depends."""
    return any("vnni" in flag or flag == "amx_int8" for flag in devices.cpu_flags())


def show(rows: list[dict[str, Any]], padding: list[dict[str, Any]]) -> None:
    """Print both tables, and what the processor has."""
    columns = ["task", "arm", "rows", "tokens", "threads", "p50 ms", "p95 ms", "p99 ms", "rows or tokens/s"]
    keys = ("task", "arm", "rows", "tokens", "threads")
    lines = []
    for row in sorted(rows, key=lambda row: (row["task"], row["rows"], row["tokens"], row["threads"])):
        times = [f"{row[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")]
        lines.append([*(row[key] for key in keys), *times, f"{row['per_second']:.1f}"])
    table(f"Int8 in one step (VNNI or AMX): {'yes' if vnni() else 'no'}", columns, lines)
    table(
        f"{ARTICLES} articles, onnx int8",
        ["scheme", "padding", "articles/s"],
        [(row["scheme"], f"{row['waste']:.1%}", f"{row['articles_per_second']:.1f}") for row in padding],
    )


if __name__ == "__main__":
    command(main, BenchConfig)
