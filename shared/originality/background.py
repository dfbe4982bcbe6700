"""How common a fragment is in code at large: a table counted over other people's packages, kept as hashes only.

A fragment that many unrelated files have says nothing about a common origin. The table was counted over the standard
library and well-known packages; `python -m shared.originality background` counts it again.
"""

import importlib.util
import json
import math
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from shared.errors import UserError
from shared.files import write_json
from shared.originality import oddities, reading, tokens, trees

TABLE = Path(__file__).with_name("background.json")
PACKAGES = (
    "torch", "sklearn", "networkx", "pandas", "scipy", "huggingface_hub", "transformers", "accelerate", "numpy",
    "matplotlib", "typer", "tqdm", "pytest", "_pytest", "tyro", "jaxtyping", "tokenizers", "safetensors", "anyio",
)  # fmt: skip
FILES_A_PACKAGE = 60
FILES_OF_THE_LIBRARY = 300
FEWEST = 3  # files with a fragment before the table mentions it
SIZES = (3_000, 60_000)  # bytes of a file that counts
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


def count(files: Iterable[Path]) -> Background:
    """Count the fragments of these files."""
    tables: dict[str, Counter[int]] = {kind: Counter() for kind in KINDS}
    total = 0
    for file in files:
        source = reading.read_file(file, "background", file.name)
        if source.tree is None:
            continue
        total += 1
        found = tokens.lex(source.text)
        units = trees.units(source.tree)
        tables["fragments"].update({fragment >> 32 for unit in units for fragment in unit.fragments})
        tables["grams"].update({gram >> 32 for gram in tokens.fingerprints(found)})
        tables["oddities"].update({odd >> 32 for odd in oddities.oddities(found)})
    kept = {kind: {key: n for key, n in table.items() if n >= FEWEST} for kind, table in tables.items()}
    return Background(total, kept)


def save(background: Background, path: Path = TABLE) -> None:
    """Write the table: for each count, the hashes that have it, as eight hexadecimal digits each."""
    data: dict[str, object] = {"files": background.files}
    for kind in KINDS:
        rows: dict[str, list[str]] = {}
        for key, n in sorted(background.counts[kind].items()):
            rows.setdefault(str(_rounded(n)), []).append(f"{key:08x}")
        data[kind] = {n: "".join(keys) for n, keys in rows.items()}
    write_json(path, data)


def _rounded(n: int) -> int:
    """To two significant steps a doubling: the weight changes by less than 0.2 and the file has few rows."""
    return n if n < 8 else round(2 ** (round(math.log2(n) * 2) / 2))


def installed(names: Iterable[str], each: int, seed: int = 0) -> list[Path]:
    """A sample of files of installed packages, found and not imported; packages that are not there are left out."""
    rng = Random(seed)
    chosen: list[Path] = []
    for name in names:
        spec = importlib.util.find_spec(name)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            chosen.extend(_sample(Path(folder), each, rng))
    return chosen


def library_files(each: int = FILES_OF_THE_LIBRARY, seed: int = 0) -> list[Path]:
    """A sample of files of the standard library."""
    return _sample(Path(sysconfig.get_path("stdlib")), each, Random(seed))


def _sample(folder: Path, each: int, rng: Random) -> list[Path]:
    fit = [
        file
        for file in sorted(folder.rglob("*.py"))
        if not {"test", "tests", "testing", "site-packages", "externals", "_vendor"}
        & set(file.relative_to(folder).parts)
        and SIZES[0] < file.stat().st_size < SIZES[1]
    ]
    return rng.sample(fit, min(each, len(fit)))
