"""`make bench-ts_anomaly`: stumpy's matrix profile and pyod's PCA, in an environment of their own, beside ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from projects.ts_anomaly.config import RESULTS
from projects.ts_anomaly.peers.beside import PEERS, beside, installed
from projects.ts_anomaly.tables import BENCH
from shared.errors import command
from shared.measured import publish_bench


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Score the same series with both, one after the other."""

    length: int = 64
    """Points of a window."""
    series: tuple[str, ...] = ("yahoo", "uniDS", "mitdb", "ucr135")
    """Labelled series."""
    environment: Path = Path("runs/ts_anomaly/peers")
    """Where the peers are installed, once."""
    out: Path = RESULTS
    """Where the CSV file goes."""


def main(config: BenchConfig) -> list[dict[str, Any]]:
    """Measure, write, show."""
    python = installed(config.environment)
    rows = [row for name in config.series for row in beside(python, name, config.length)]
    return publish_bench(BENCH, rows, config.out, "ts_anomaly", {"length": config.length, "peers": ", ".join(PEERS)})


if __name__ == "__main__":
    command(main, BenchConfig)
