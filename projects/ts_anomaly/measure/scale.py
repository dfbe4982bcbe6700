"""How fast and in how much memory: points a second in batches, a long stream, fifty metrics, long windows."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from projects.ts_anomaly.config import Config
from projects.ts_anomaly.models.contrast import Contrast
from projects.ts_anomaly.models.interleaved import Reading, read
from shared.devices import peak_memory_mb
from shared.measured import write_measured

TOKENS = (512, 1024, 2048, 4096, 8192)
ONE = """
import sys, torch
from projects.ts_anomaly.models import attention
from shared.devices import peak_memory_mb
torch.set_num_threads(1)
kind, tokens = sys.argv[1], int(sys.argv[2])
q = torch.randn(1, 4, tokens, 16)
before = peak_memory_mb()
with torch.no_grad():
    if kind == "full":
        attention.full_attention(q, q, q, torch.zeros(4, 64))
    elif kind == "sliding":
        attention.sliding_attention(q, q, q, torch.zeros(4, 64))
    else:
        attention.linear_attention(q, q, q)
print(before, peak_memory_mb())
"""


COLUMNS = ("what", "points", "per_second", "grown_mb", "core_share")


def write(out: Path) -> None:
    """Measure all of it, into scale.csv and memory.csv; on a machine that does nothing else."""
    found = [batches(), batches(threads=2), stream(), metrics()]
    rows = [{name: row.get(name, "") for name in COLUMNS} for row in found]
    write_measured(out / "scale.csv", rows, "ts_anomaly", Config())
    write_measured(out / "memory.csv", memory(), "ts_anomaly", Config())


def new() -> Contrast:
    """The model of the default configuration."""
    base = Config()
    return Contrast(base.patch, base.width, base.layers, 4, base.window).eval()


def batches(points: int = 200_000, threads: int = 1, repeats: int = 5) -> dict[str, Any]:
    """Points a second of one series, read in chunks; the median of some readings."""
    torch.set_num_threads(threads)
    model, values = new(), np.random.default_rng(0).standard_normal((1, points))
    state, rates = Reading.new(model.patch), []
    read(model, values[:, :20_000], state)
    for _ in range(repeats):
        begun = time.perf_counter()
        read(model, values, state)
        rates.append(points / (time.perf_counter() - begun))
    return {"what": f"batches, {threads} threads", "points": points, "per_second": round(statistics.median(rates))}


def stream(points: int = 1_000_000, chunk: int = 8_192) -> dict[str, Any]:
    """A long stream in chunks: what memory grows by from the first tenth to the end."""
    torch.set_num_threads(1)
    model, state, random = new(), Reading.new(4), np.random.default_rng(0)
    begun, early = time.perf_counter(), 0.0
    for at in range(0, points, chunk):
        read(model, random.standard_normal((1, chunk)), state)
        if at <= points // 10:
            early = peak_memory_mb()
    seconds = time.perf_counter() - begun
    grown = round(peak_memory_mb() - early, 1)
    return {"what": "a stream", "points": points, "per_second": round(points / seconds), "grown_mb": grown}


def metrics(count: int = 50, steps: int = 400) -> dict[str, Any]:
    """So many metrics, a point of each a second: the share of one core, from the processor time of a step."""
    torch.set_num_threads(1)
    model, random = new(), np.random.default_rng(0)
    state = Reading.new(model.patch)
    read(model, random.standard_normal((count, 1_027)), state)
    begun = time.process_time()
    for _ in range(steps):
        read(model, random.standard_normal((count, 1)), state)
    share = (time.process_time() - begun) / steps
    return {"what": f"{count} metrics at 1 Hz", "points": count * steps, "core_share": round(share, 4)}


def memory() -> list[dict[str, Any]]:
    """Peak memory that attention adds, by kind and tokens, each in a process of its own."""
    found = []
    for kind in ("full", "sliding", "linear"):
        for tokens in TOKENS:
            words = [sys.executable, "-c", ONE, kind, str(tokens)]
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            found.append({"attention": kind, "tokens": tokens, "mb": round(float(said[1]) - float(said[0]), 1)})
    return found
