"""kill -9 at any moment of a save: does the index always load, as the old one or the new one?

    python -m projects.rag_agent.retriever.crash --rounds 50

A child process saves version after version into one folder; the parent kills it after a random time and loads what is
there. Each version's passages and vectors say its number, so a mixture of two would be found.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from projects.rag_agent.data import Passage, passage_id
from projects.rag_agent.models.rag_module import load_index, save_index
from projects.rag_agent.retriever import versions
from projects.rag_agent.retriever.faiss_index import FaissIndex, use_threads
from shared import checks
from shared.errors import UserError, command

DIMENSION, MODEL = 64, "crash test"


@dataclass(frozen=True, kw_only=True)
class CrashConfig:
    """Kill a process that saves an index, and load what it left."""

    rounds: int = 50
    """How often."""
    passages: int = 400
    """Size of the index: more make a save longer."""
    seed: int = 0
    """Seed of the moments."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "rounds", "passages")


def main(config: CrashConfig) -> list[dict[str, Any]]:
    """Kill a process that saves an index at random moments, and load what it left."""
    use_threads(1)  # OpenMP's threads do not survive a fork
    root = Path(tempfile.mkdtemp(prefix="rag_agent-crash-"))
    try:
        rows = rounds(root, config)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    broken = [row for row in rows if not row["loads"]]
    moved = sum(row["new"] for row in rows)
    print(  # noqa: T201 - the command's output
        f"{len(rows)} kills: {len(rows) - len(broken)} times the index loaded, {moved} of them as a newer version; "
        f"{sum(row['rubbish'] for row in rows)} kills left something half-written beside it"
    )
    if broken:
        raise UserError(f"the index did not load after the kill of round {broken[0]['round']}: {broken[0]['error']}")
    return rows


def rounds(root: Path, config: CrashConfig) -> list[dict[str, Any]]:
    """One row a kill."""
    source = random.Random(config.seed)
    save(root, 0, config.passages)
    duration = _duration(root, config.passages)
    rows = []
    version = number_of(root)
    for turn in range(config.rounds):
        child = os.fork()
        if child == 0:
            _save_for_ever(root, version, config.passages)
        try:
            time.sleep(source.uniform(0, 2.5 * duration))
        finally:  # whoever interrupts this process leaves no child behind that saves for ever
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        rows.append({"round": turn, **_outcome(root, version)})
        version = max(version, rows[-1]["version"])
    return rows


def save(root: Path, number: int, size: int) -> None:
    """An index every vector and passage of which says its version's number."""
    passages = [
        Passage(passage_id(str(row), f"version {number}"), str(row), "crash", row, f"version {number}")
        for row in range(size)
    ]
    index = FaissIndex(DIMENSION)
    index.add([passage.id for passage in passages], np.full((size, DIMENSION), float(number), dtype=np.float32))
    save_index(root, index, passages, MODEL)


def number_of(root: Path) -> int:
    """Number of the version that loads.

    Raises:
        UserError: If none does, or it is a mixture.
    """
    index, passages = load_index(root, model=MODEL, dimension=DIMENSION)
    numbers = {int(passage.text.split()[1]) for passage in passages}
    numbers |= {int(index.vector(passage.id)[0]) for passage in passages}
    if len(numbers) != 1:
        raise UserError(f"{root}: a mixture of the versions {sorted(numbers)}")
    return numbers.pop()


def _duration(root: Path, size: int) -> float:
    started = time.perf_counter()
    for _ in range(3):
        save(root, 0, size)
    return (time.perf_counter() - started) / 3


def _save_for_ever(root: Path, version: int, size: int) -> None:
    """The child's whole life; it is killed, or leaves at once without running what the parent registered."""
    try:
        while True:
            version += 1
            save(root, version, size)
    finally:
        os._exit(1)


def _outcome(root: Path, before: int) -> dict[str, Any]:
    kept = versions.current_name(root)
    rubbish = sum(path.name not in (kept,) for path in (root / versions.VERSIONS).iterdir())
    rubbish += len(list(root.glob(f".{versions.POINTER}.*.tmp")))
    try:
        version = number_of(root)
    except UserError as error:
        return {"loads": 0, "version": before, "new": 0, "rubbish": int(rubbish > 0), "error": str(error)}
    loads = int(version >= before)
    found = "" if loads else f"version {version} came back after {before}"
    return {
        "loads": loads,
        "version": version,
        "new": int(version > before),
        "rubbish": int(rubbish > 0),
        "error": found,
    }


if __name__ == "__main__":
    command(main, CrashConfig)
