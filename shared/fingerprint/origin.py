"""Digests of where a run comes from: its code, its files, its data."""

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shared.fingerprint import strict


def describe_code() -> dict[str, str | None]:
    """The commit, and a digest of what differs from it (changes, names of untracked files), None if nothing does."""
    changes = git("diff", "HEAD", "--no-ext-diff"), git("ls-files", "--others", "--exclude-standard")
    dirty = hashlib.sha256(repr(changes).encode()).hexdigest() if any(changes) else None
    return {"commit": git("rev-parse", "HEAD"), "dirty": dirty}


def git(*words: str) -> str | None:
    """What git answers, or None outside a checkout or without git."""
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=10, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def file_digest(path: Path) -> str:
    """SHA-256 of a small file of our own, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def data_digest(*columns: Iterable[Any]) -> str:
    """SHA-256 over data as JSON values, item by item: the same texts and labels in the same order, the same digest."""
    digest = hashlib.sha256()
    for column in columns:
        for item in column:
            digest.update(strict.dumps(item) + b"\n")
        digest.update(b"\n")
    return digest.hexdigest()
