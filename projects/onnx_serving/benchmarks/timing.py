"""Calls timed in turn: each arm in a process of its own, percentiles over all calls, gains at equal shapes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.benchmarks.arms import ARMS, Cell, Loaded, able, work
from shared import devices
from shared.interleave import Ask, spawned
from shared.progress import table, track


def arms_of(graphs: Path, qa: Path, model: str) -> AbstractContextManager[dict[str, Ask]]:
    """Each arm in a process of its own, which answers a cell with milliseconds."""
    return spawned(work, {arm: Loaded(arm, graphs, qa, model) for arm in ARMS})


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


def vnni() -> bool:
    """Whether the processor multiplies int8 in one step, on which the gain of int8 depends."""
    return any("vnni" in flag or flag == "amx_int8" for flag in devices.cpu_flags())


def shortly(graphs: Path, qa: Path) -> None:
    """Print a short benchmark; `make bench-onnx_serving` is the whole one."""
    threads = devices.cores()
    cells = [Cell("encode", 1, 64, threads, calls=5), Cell("encode", 8, 64, threads, calls=3)]
    cells += [Cell("generate", 1, 16, threads, 16), Cell("library", 1, 16, threads, 16)]
    with arms_of(graphs, qa, "smollm2") as arms:
        rows = [row_of(*key, times) for key, times in measured(arms, cells, 3).items()]
    columns = ["task", "arm", "rows", "tokens", "p50 ms", "rows or tokens/s"]
    title = f"{threads} threads each; int8 in one step (VNNI or AMX): {'yes' if vnni() else 'no'}"
    shown = [
        (r["task"], r["arm"], r["rows"], r["tokens"], f"{r['p50_ms']:.1f}", f"{r['per_second']:.1f}") for r in rows
    ]
    table(title, columns, sorted(shown))
