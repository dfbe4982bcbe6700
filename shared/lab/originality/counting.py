"""How common fragments are in the standard library and in installed packages: counts the background table."""

import importlib.util
import math
import sysconfig
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from shared.files import write_json
from shared.originality import background, oddities, reading, tokens, trees

PACKAGES = (
    "torch", "sklearn", "networkx", "pandas", "scipy", "huggingface_hub", "transformers", "accelerate", "numpy",
    "matplotlib", "typer", "tqdm", "pytest", "_pytest", "tyro", "jaxtyping", "tokenizers", "safetensors", "anyio",
)  # fmt: skip
FILES_A_PACKAGE = 60
FILES_OF_THE_LIBRARY = 300
FEWEST = {"fragments": 3, "grams": 6, "oddities": 3}  # files that have it before the table mentions it
SIZES = (3_000, 60_000)  # bytes of a file that counts


def count(files: Iterable[Path]) -> background.Background:
    """Count the fragments of these files."""
    tables: dict[str, Counter[int]] = {kind: Counter() for kind in background.KINDS}
    total = 0
    for file in files:
        source = reading.read_file(file, "background", file.name)
        if source.tree is None:
            continue
        total += 1
        found = tokens.lex(source.text)
        units = trees.units(source.tree)
        tables["fragments"].update({fragment >> 32 for unit in units for fragment in unit.fragments})
        tables["grams"].update({gram >> 32 for gram in tokens.fingerprints(found)[0]})
        tables["oddities"].update({odd >> 32 for odd in oddities.oddities(found)})
    kept = {kind: {key: n for key, n in table.items() if n >= FEWEST[kind]} for kind, table in tables.items()}
    return background.Background(total, kept)


def save(counted: background.Background, path: Path = background.TABLE) -> None:
    """Write the table: for each count, the hashes that have it, as eight hexadecimal digits each."""
    data: dict[str, object] = {"files": counted.files}
    for kind in background.KINDS:
        rows: dict[str, list[str]] = {}
        for key, n in sorted(counted.counts[kind].items()):
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
