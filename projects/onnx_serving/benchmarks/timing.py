"""Calls timed in turn: each arm in a process of its own, percentiles over all calls, gains at equal shapes."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from projects.onnx_serving.benchmarks.arms import ARMS, ArmSettings, Case, serve_arm, supports
from shared import devices
from shared.interleave import Ask, spawned
from shared.progress import table, track


def spawn_arms(graphs: Path, qa: Path, decoder: str) -> AbstractContextManager[dict[str, Ask]]:
    """Each arm in a process of its own, which answers a case with milliseconds."""
    return spawned(serve_arm, {arm: ArmSettings(arm, graphs, qa, decoder) for arm in ARMS})


def measure(arms: Mapping[str, Ask], cases: Sequence[Case], rounds: int) -> dict[tuple[str, Case], list[float]]:
    """Milliseconds of each call; the first round is warm-up, and every other round goes backwards."""
    times: dict[tuple[str, Case], list[float]] = {}
    for turn in track(range(rounds + 1), description=f"{cases[0].task}, rounds", total=rounds + 1):
        for case in cases:
            for arm in arms if turn % 2 else reversed(list(arms)):
                if supports(arm, case):
                    milliseconds = arms[arm](case)
                    if turn:
                        times.setdefault((arm, case), []).extend(milliseconds)
    return times


def row_of(arm: str, case: Case, times: list[float]) -> dict[str, Any]:
    """Percentiles and throughput of one arm in one case."""
    p50, p95, p99 = (float(np.percentile(times, percent)) for percent in (50, 95, 99))
    done = case.rows * (case.new_tokens or 1)
    return {
        "arm": "transformers' generate" if case.task == "library" else arm,
        "task": case.task,
        "rows": case.rows,
        "tokens": case.tokens,
        "threads": case.threads,
        "calls": len(times),
        "p50_ms": round(p50, 3),
        "p95_ms": round(p95, 3),
        "p99_ms": round(p99, 3),
        "per_second": round(1000 * done / p50, 2),
    }


def with_gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their gain: over torch in float32 in the encoder, over the library's own loop in generation."""

    def shape(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["task"] == "encode", row["rows"], row["tokens"], row["threads"]

    base = {
        shape(row): row["p50_ms"]
        for row in rows
        if row["task"] == "library" or (row["task"] == "encode" and row["arm"] == "torch float32")
    }
    return [{**row, "gain": round(base[shape(row)] / row["p50_ms"], 3)} for row in rows]


def has_vnni() -> bool:
    """Whether the processor multiplies int8 in one step, on which the gain of int8 depends."""
    return any("vnni" in flag or flag == "amx_int8" for flag in devices.cpu_flags())


def short_benchmark(graphs: Path, qa: Path) -> None:
    """Print a short benchmark; `make bench-onnx_serving` is the whole one."""
    threads = devices.cores()
    cases = [Case("encode", 1, 64, threads, calls=5), Case("encode", 8, 64, threads, calls=3)]
    cases += [Case("generate", 1, 16, threads, 16), Case("library", 1, 16, threads, 16)]
    with spawn_arms(graphs, qa, "smollm2") as arms:
        rows = [row_of(*key, times) for key, times in measure(arms, cases, 3).items()]
    columns = ["task", "arm", "rows", "tokens", "p50 ms", "rows or tokens/s"]
    title = f"{threads} threads each; int8 in one step (VNNI or AMX): {'yes' if has_vnni() else 'no'}"
    shown = [
        (r["task"], r["arm"], r["rows"], r["tokens"], f"{r['p50_ms']:.1f}", f"{r['per_second']:.1f}") for r in rows
    ]
    table(title, columns, sorted(shown))
