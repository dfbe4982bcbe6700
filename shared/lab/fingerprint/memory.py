"""`python -m shared.lab.fingerprint.memory`: the most memory that verifying a run of 1 GB takes, in its own process."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from shared import checks
from shared.errors import command
from shared.fingerprint.keys import TeamKey, team_key
from shared.fingerprint.log import ChainedLog
from shared.fingerprint.manifest import seal_directory
from shared.fingerprint.results import seal_table
from shared.lab.fingerprint.attacks.scene import write_csv
from shared.progress import table

KEY = TeamKey("bench", bytes(range(32)))
# VmHWM is of this program alone; getrusage's maximum would include the parent's, as it was when it forked.
PROBE = (
    "import sys\n"
    "from pathlib import Path\n"
    "from shared.fingerprint.keys import TeamKey\n"
    "from shared.fingerprint.verify import verify\n"
    "print(*{f.verdict.value for f in verify(Path(sys.argv[1]), TeamKey('bench', bytes(range(32))))})\n"
    "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Measure the peak memory of a verification, for several sizes of a run."""

    mib: tuple[int, ...] = (0, 256, 1024)
    """Sizes of the checkpoint, in MiB; 0 is what the program itself takes."""
    lines: int = 20_000
    """Lines of its log."""
    out: Path = Path("shared/fingerprint/results")
    """Where memory.csv goes."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "lines")


def main(arguments: Arguments) -> list[dict[str, Any]]:
    """Make a run of each size, verify it in a process of its own, and say what that took."""
    rows = []
    for mib in arguments.mib:
        with tempfile.TemporaryDirectory() as folder:
            make_run(Path(folder) / "run", mib, arguments.lines)
            done = subprocess.run(
                [sys.executable, "-c", PROBE, folder], capture_output=True, text=True, check=True, timeout=600
            )
        verdicts, peak = done.stdout.splitlines()
        rows.append({"mib": mib, "lines": arguments.lines, "verdicts": verdicts, "peak_mb": round(int(peak) / 1e3, 1)})
    table("Memory of a verification", list(rows[0]), [tuple(map(str, row.values())) for row in rows])
    write_csv(arguments.out / "memory.csv", rows)
    seal_table(arguments.out / "memory.csv", project="fingerprint", key=team_key())
    return rows


def make_run(directory: Path, mib: int, lines: int) -> None:
    """A closed run with a log of so many lines and one checkpoint of so many MiB."""
    directory.mkdir()
    with ChainedLog(directory / "metrics.jsonl", KEY, {"run": "0b" * 8, "project": "bench"}) as log:
        for step in range(lines):
            log.append({"step": step, "loss": 1.0 / (step + 1), "grad_norm": 1.26, "lr": 4.5e-05})
        folder = directory / "checkpoints" / "step-000001"
        folder.mkdir(parents=True)
        tensors = {f"layer.{i}": np.full((mib * 2**20 // 32,), i, dtype=np.float32) for i in range(8)}
        save_file(tensors, folder / "model.safetensors")
        seal_directory(folder, {"run": "0b" * 8, "project": "bench", "step": 1, "log": log.head}, KEY)


if __name__ == "__main__":
    sys.exit(0 if command(main, Arguments) else 1)
