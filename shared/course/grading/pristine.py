"""A folder to run tests in: the tests of a trusted commit, the code that is graded.

Git names each file's content by its hash, so `git archive <commit>` gives the very tests of that commit, whatever the
working tree holds. A test that was edited, added or removed is reported and plays no part.
"""

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError

TRUSTED = ("tests", "pyproject.toml", "constraints.txt", "Makefile")
GRADED = ("projects", "shared")
SKIPPED = ("__pycache__", "runs", "build", ".*")


@dataclass(frozen=True)
class Sandbox:
    """A prepared folder.

    Attributes:
        folder: Where to run.
        commit: The tests', abbreviated.
        edited: Paths below tests/ that differ in the working tree.
    """

    folder: Path
    commit: str
    edited: tuple[str, ...]


def prepare(root: Path, folder: Path, commit: str) -> Sandbox:
    """Fill an empty folder.

    Raises:
        UserError: If this is no git checkout, or the commit is not in it.
    """
    if commit.startswith("-"):
        raise UserError(f"{commit!r} is no commit")
    name = _git(root, "rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    present = _git(root, "ls-tree", "--name-only", name).decode().split()
    trusted = [each for each in TRUSTED if each in present]
    with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", name, "--", *trusted))) as archive:
        archive.extractall(folder, filter="data")
    for each in GRADED:
        shutil.copytree(root / each, folder / each, ignore=shutil.ignore_patterns(*SKIPPED), symlinks=True)
    changed = _git(root, "diff", "--name-only", "--no-renames", name, "--", "tests").decode().split("\n")
    added = _git(root, "ls-files", "--others", "--exclude-standard", "--", "tests").decode().split("\n")
    return Sandbox(folder, name[:10], tuple(sorted(path for path in {*changed, *added} if path)))


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"git {words[0]}: {error}") from None
    if done.returncode:
        raise UserError(f"git {words[0]}: {done.stderr.decode(errors='replace').strip().splitlines()[-1]}")
    return done.stdout
