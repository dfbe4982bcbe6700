"""Does memory stay flat? The resident size of a process that answers one request after the other.

What the allocator keeps of memory that was freed is resident, too: the process then gives it back (malloc_trim), and
what is still resident is in use. Weights are mapped from their file: the row of a token in the embedding becomes
resident when the token is met for the first time: the same fifty prompts come round again, answered greedily.

    python -m shared.lab.engine.memory
"""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

from shared import checks, progress
from shared.engine import Request, load_engine, stream
from shared.errors import command
from shared.files import refuse_unwritable, write_json
from shared.lab.engine.agreement import RESULTS, prompts


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Answer many requests, each with a cache of its own size, and note the memory."""

    generations: int = 200
    """Answers."""
    every: int = 25
    """Generations between two notes."""
    tokens: int = 50
    """Longest answer; the n-th prompt asks for 1 + n mod this many, so that no two caches in a row are of one size."""
    out: Path = RESULTS
    """Where memory.json goes."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks.at_least(self, 1, "generations", "every", "tokens")


def main(config: MemoryConfig) -> list[dict[str, float]]:
    """Resident megabytes after the first generation and after each `every`, and those that are in use."""
    refuse_unwritable(config.out)
    engine = load_engine()
    asked = prompts(engine.tokenizer, 50)
    rows = []
    for number in range(config.generations):
        place = number % len(asked)
        list(stream(engine, Request(prompt=asked[place], max_tokens=1 + place % config.tokens)))
        if number == 0 or (number + 1) % config.every == 0:
            rows.append({"generations": number + 1, "resident_mb": resident_mb(), "in_use_mb": trimmed_mb()})
    write_json(config.out / "memory.json", {"tokens": config.tokens, "after": rows})
    shown = [[str(row["generations"]), f"{row['resident_mb']:.0f} MB", f"{row['in_use_mb']:.0f} MB"] for row in rows]
    progress.table("Memory", ["after generations", "resident", "in use"], shown)
    return rows


def resident_mb() -> float:
    """Resident size of this process in MB (2²⁰ bytes)."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found, "Linux says it there"
    return round(int(found.group(1)) / 1024, 1)


def trimmed_mb() -> float:
    """The same when glibc has given back what it keeps of freed memory."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident_mb()


if __name__ == "__main__":
    command(main, MemoryConfig)
