"""`make notebook-<project>`: by_hand.py and notebook.py, jupytext percent scripts, executed into one notebook.ipynb.

The first builds the project's core by hand, in cells that a reader changes; the second shows what was recorded.
The executed notebook says what it was made from (SHA-256 of its source and of results/), holds no path of a machine
and no time, and is compared, number by number, with a fresh execution.
"""

import asyncio
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from shared.course.cells import NUMBER
from shared.course.project import Project, digests, read_json_or_none, stale
from shared.errors import UserError
from shared.files import write_text

CELL_SECONDS = 180  # cells are made for less than 60 on two free cores; a busy machine is given its time
SCRIPTS = ("by_hand.py", "notebook.py")
TOLERANCE = 1e-6  # relative; results/ is committed, so a fresh execution reads the same numbers
OURS = "cc0c2"  # key of the notebook's metadata
TIMESTAMP = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d")
EVIDENCE = (".csv", ".json", ".png")


def committed(project: Project) -> Path:
    """Where the executed notebook is."""
    return project.results / "notebook.ipynb"


def execute(project: Project) -> Any:
    """The notebook, freshly executed from its source in the repository's root.

    Raises:
        UserError: If there is no source, a cell fails or takes too long, or the output shows a path or a time.
    """
    source = project.folder / "notebook.py"
    if not source.is_file():
        raise UserError(f"projects/{project.name}/notebook.py is not there: the project has no notebook yet")
    book = jupytext.read(source, fmt="py:percent")
    if (by_hand := project.folder / "by_hand.py").is_file():
        book.cells = [*jupytext.read(by_hand, fmt="py:percent").cells, *book.cells]
    for cell in book.cells:  # a module's two blank lines before a function are none of a cell's
        cell.source = cell.source.strip("\n")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the kernel's debugger warns of a frozen Python
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm's, of a widget that nothing here uses
    here = {"metadata": {"path": str(project.root)}}
    try:
        with tempfile.TemporaryDirectory() as sockets:
            kernel = AsyncKernelManager(transport="ipc", ip=f"{sockets}/kernel")  # files, no port of this machine
            NotebookClient(book, km=kernel, timeout=CELL_SECONDS, record_timing=False, resources=here).execute(
                cleanup_kc=True
            )
    except asyncio.CancelledError:  # nbclient's own answer to Ctrl-C
        raise KeyboardInterrupt from None
    except CellExecutionError as error:
        raise UserError(f"projects/{project.name}/notebook.py: a cell ended in {error.ename}: {error.evalue}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise UserError(f"projects/{project.name}/notebook.py: {str(error).splitlines()[0]}") from None
    return tidy(book, project)


def tidy(book: Any, project: Project) -> Any:
    """Leave nothing in the notebook that differs from one execution or machine to the next."""
    for number, cell in enumerate(book.cells, start=1):
        cell["id"] = f"cell-{number:02}"
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key == "tags"}
        for output in cell.get("outputs", ()):
            text = json.dumps(output.get("data", output.get("text", "")), ensure_ascii=False)
            if str(project.root) in text or str(Path.home()) + os.sep in text:
                raise UserError(f"notebook.py: the output of cell {number} shows a path of this machine")
            if TIMESTAMP.search(text):
                raise UserError(f"notebook.py: the output of cell {number} shows a time")
            if output["output_type"] == "stream" and output["name"] == "stderr":
                raise UserError(f"notebook.py: cell {number} warns: {output['text'].strip()[:200]}")
    book["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        OURS: {"sources": digests(project, sources(project))},
    }
    book["nbformat"], book["nbformat_minor"] = 4, 5
    nbformat.validate(book)
    return book


def sources(project: Project) -> set[str]:
    """What the notebook is made from: its scripts, and the evidence in results/."""
    scripts = {name for name in SCRIPTS if (project.folder / name).is_file()}
    evidence = {f"results/{path.name}" for path in project.results.iterdir() if path.suffix in EVIDENCE}
    return evidence | scripts


def build(project: Project) -> Path:
    """Execute and write results/notebook.ipynb; the old one stays if anything fails. Returns its path."""
    book = execute(project)
    if not numbers(book):
        raise UserError(f"projects/{project.name}/notebook.py: states no tagged number")
    write_text(committed(project), nbformat.writes(book) + "\n")
    return committed(project)


def numbers(book: dict[str, Any]) -> dict[str, float]:
    """Every tagged number by name.

    Raises:
        UserError: If two have one name.
    """
    found: dict[str, float] = {}
    for cell in book["cells"]:
        for output in cell.get("outputs", ()):
            for each in output.get("data", {}).get(NUMBER, ()):
                if each["name"] in found:
                    raise UserError(f"two numbers of the notebook are called {each['name']!r}")
                found[each["name"]] = float(each["value"])
    return found


def differences(old: dict[str, float], new: dict[str, float], tolerance: float = TOLERANCE) -> list[str]:
    """What a fresh execution says otherwise than the committed notebook, a line each."""
    said = [f"{name}: {'gone' if name in old else 'new'}" for name in sorted(old.keys() ^ new.keys())]
    for name in sorted(old.keys() & new.keys()):
        if not math.isclose(old[name], new[name], rel_tol=tolerance, abs_tol=tolerance * 1e-3):
            said.append(f"{name}: {old[name]:g} in the notebook, {new[name]:g} afresh")
    return said


def check(project: Project) -> int:
    """Execute afresh and compare with the committed notebook. Returns how many numbers agree.

    Raises:
        UserError: If there is none, or a number differs.
    """
    old = read_json_or_none(committed(project))
    if old is None:
        raise UserError(f"results/notebook.ipynb is not there: run make notebook-{project.name}")
    before, after = numbers(old), numbers(execute(project))
    wrong = differences(before, after)
    if wrong:
        raise UserError(f"results/notebook.ipynb is out of date: {'; '.join(wrong)}: run make notebook-{project.name}")
    return len(after)


def outdated(project: Project) -> list[str] | None:
    """Sources that changed since the committed notebook was executed, or None if there is no notebook."""
    book = read_json_or_none(committed(project))
    if book is None:
        return None
    recorded = book.get("metadata", {}).get(OURS, {}).get("sources", {})
    return stale(project, {**dict.fromkeys(sources(project), "new"), **recorded})
