"""How common a fragment is in code at large: a table counted over other people's packages, kept as hashes only.

A fragment that many unrelated files have says nothing about a common origin. The table was counted over the standard
library and well-known packages; `python -m shared.lab.originality background` counts it again.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from shared.errors import UserError

TABLE = Path(__file__).with_name("background.json")
KINDS = ("fragments", "grams", "oddities")


@dataclass(frozen=True)
class Background:
    """How many background files have a fragment.

    Attributes:
        files: How many were counted.
        counts: For each kind, the upper 32 bits of a hash -> files that have it; what is rarer than FEWEST is absent.
    """

    files: int
    counts: dict[str, dict[int, int]] = field(repr=False)

    def weight(self, kind: str, fragment: int) -> float:
        """Inverse document frequency in nats, ln(files/files that have it), at least 0 (Spärck Jones 1972)."""
        return math.log(self.files / self.counts[kind].get(fragment >> 32, 1))

    @property
    def words(self) -> frozenset[int]:
        """Keys of everything in the oddity table: the vocabulary against which a word is misspelt."""
        return _vocabulary(self)

    def __hash__(self) -> int:
        return id(self)


@lru_cache(maxsize=4)
def _vocabulary(background: Background) -> frozenset[int]:
    return frozenset(background.counts["oddities"])


@lru_cache(maxsize=1)
def load(path: Path = TABLE) -> Background:
    """Read the table.

    Raises:
        UserError: If it is missing or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        counts = {kind: dict(_unpack(data[kind])) for kind in KINDS}
        return Background(int(data["files"]), counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read the background table {path}: {error}; restore it from the repository") from None


def _unpack(rows: dict[str, str]) -> Iterator[tuple[int, int]]:
    for count, keys in rows.items():
        for place in range(0, len(keys), 8):
            yield int(keys[place : place + 8], 16), int(count)
