"""Haystack's searches, by the Python of an environment of its own."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from projects.qa_api.data.documents import Document
from shared.errors import UserError

HAYSTACK = "haystack-ai==3.4.0"
THEIRS = Path(__file__).with_name("haystack_bm25.py")


def haystack(
    python: Path, documents: Sequence[Document], queries: Sequence[str], k: int
) -> dict[str, tuple[list[Document], float]]:
    """What Haystack finds for each query, and how many seconds that took.

    Raises:
        UserError: With its last line, if it fails.
    """
    own = {each.id: each for each in documents}
    told = {"documents": [{"id": each.id, "text": f"{each.title}. {each.text}"} for each in documents],
            "queries": list(queries), "k": k}  # fmt: skip
    given = {"PATH": os.environ["PATH"], "HOME": str(python.parent), "OMP_NUM_THREADS": "1",
             "HAYSTACK_TELEMETRY_ENABLED": "False"}  # fmt: skip
    words = [str(python), str(THEIRS.resolve())]
    said = subprocess.run(words, input=json.dumps(told), check=False, capture_output=True, text=True, env=given)
    if said.returncode:
        raise UserError(f"Haystack failed: {(said.stderr.strip().splitlines() or ['no message'])[-1]}")
    found = json.loads(said.stdout)
    each = zip(queries, found["hits"], found["seconds"], strict=True)
    return {query: ([own[one] for one in hits], seconds) for query, hits, seconds in each}


def installed(folder: Path) -> Path:
    """Python of an environment with Haystack.

    Raises:
        UserError: If it cannot be installed.
    """
    python = (folder / "bin" / "python").absolute()
    if not (folder / "whole").exists():
        sys.stdout.write(f"Installing {HAYSTACK} in {folder} (once)\n")
        venv.create(folder, with_pip=True)
        if subprocess.run([str(python), "-m", "pip", "install", "--quiet", HAYSTACK], check=False).returncode:
            raise UserError(f"{HAYSTACK} cannot be installed: is the package index reachable?")
        (folder / "whole").touch()
    return python
