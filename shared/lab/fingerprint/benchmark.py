"""`python -m shared.lab.fingerprint.benchmark`: sealing and verifying 1 GiB beside sha256sum; what a log line costs.

The contestants take turns, round by round, so that a drift of the machine's speed touches all of them alike; what is
reported is the median of the ratios within a round.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from shared import devices
from shared.errors import UserError, command
from shared.files import write_json
from shared.fingerprint.keys import TeamKey, team_key
from shared.fingerprint.log import ChainedLog, verify_log
from shared.fingerprint.manifest import NAME, seal_directory, verify_directory
from shared.fingerprint.results import seal_table
from shared.lab.fingerprint.attacks.scene import write_csv
from shared.progress import table

KEY = TeamKey("bench", bytes(range(32)))
RECORD = {"step": 1, "loss": 1.8041434288024902, "grad_norm": 1.2620477676391602, "lr": 4.545454545454546e-05}


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Measure sealing and verifying against sha256sum, and logging."""

    mib: int = 1024
    """Size of the folder in MiB, spread over four safetensors files of several tensors each."""
    rounds: int = 5
    """How often each has its turn; one more is warm-up and fills the page cache."""
    lines: int = 20_000
    """Log lines timed."""
    folder: Path | None = None
    """Where the files are made for the time of the benchmark; by default the system's temporary folder."""
    out: Path = Path("shared/fingerprint/results")
    """Where bench.csv and bench.json go."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Compare sealing and verifying a folder with sha256sum, and time a log line."""
    if shutil.which("sha256sum") is None:
        raise UserError("sha256sum is not on this machine: there is nothing to compare with")
    with tempfile.TemporaryDirectory(dir=config.folder) as temporary:
        rows = [*throughput(Path(temporary) / "data", config), *logging(Path(temporary), config.lines)]
    columns = ["what", "median", "unit", "times sha256sum", "its quartiles"]
    shown = [(r["what"], f"{r['median']:.1f}", r["unit"], r["ratio"], f"{r['q1']} to {r['q3']}") for r in rows]
    table(f"{config.mib} MiB, {config.rounds} rounds; {config.lines} log lines", columns, shown)
    write_csv(config.out / "bench.csv", rows)
    seal_table(config.out / "bench.csv", project="fingerprint", key=team_key())
    details = {"mib": config.mib, "rounds": config.rounds, "lines": config.lines, **devices.machine()}
    write_json(config.out / "bench.json", details)
    return rows


def throughput(folder: Path, config: BenchConfig) -> list[dict[str, Any]]:
    """MiB a second of each contestant, and its speed as a multiple of sha256sum's in the same round."""
    folder.mkdir()
    source = np.random.default_rng(0)
    for part in range(4):
        tensor = source.integers(0, 256, (config.mib * 2**20 // 32,), dtype=np.uint8)
        save_file({f"layer.{i}": tensor for i in range(8)}, folder / f"part-{part}.safetensors")
    names = sorted(str(path) for path in folder.iterdir())
    turns: dict[str, Callable[[], object]] = {
        "sha256sum": lambda: subprocess.run(["sha256sum", *names], capture_output=True, check=True),
        "seal": lambda: seal_directory(folder, {"run": "bench", "step": 0}, KEY),
        "verify": lambda: verify_directory(folder, KEY),
    }
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(config.rounds + 1):
        (folder / NAME).unlink(missing_ok=True)
        for name, act in turns.items():
            started = time.perf_counter()
            act()
            if turn:
                speeds[name].append(config.mib / (time.perf_counter() - started))
    return [_row(name, speeds[name], "MiB/s", speeds["sha256sum"]) for name in turns]


def logging(folder: Path, lines: int) -> list[dict[str, Any]]:
    """Microseconds for one line: written and flushed, and checked."""
    path, taken = folder / "metrics.jsonl", []
    with ChainedLog(path, KEY, {"run": "bench", "project": "bench"}) as log:
        for _ in range(lines):
            started = time.perf_counter()
            log.append(RECORD)
            taken.append(1e6 * (time.perf_counter() - started))
    started = time.perf_counter()
    verify_log(path, KEY)
    checked = 1e6 * (time.perf_counter() - started) / lines
    return [_row("log a line", taken, "µs"), _row("verify a line", [checked], "µs")]


def _row(name: str, values: list[float], unit: str, reference: list[float] | None = None) -> dict[str, Any]:
    ratios = [v / r for v, r in zip(values, reference, strict=True)] if reference else []
    q1, ratio, q3 = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ("", "", "")
    numbers = {n: round(v, 3) if isinstance(v, float) else v for n, v in (("ratio", ratio), ("q1", q1), ("q3", q3))}
    return {"what": name, "median": round(statistics.median(values), 3), "unit": unit, **numbers}


if __name__ == "__main__":
    sys.exit(0 if command(main, BenchConfig) else 1)
