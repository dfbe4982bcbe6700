"""The Python of a notebook: code cells in order, with IPython's own syntax made into comments line by line.

A cell magic costs its own line, not the cell (%%time and %%capture run what is below them as Python); a line that no
Python parser takes costs itself, not the notebook.
"""

import json
import re

from shared.originality.text import Note, parse

SPECIAL = re.compile(
    r"\s*(?:[%!?]|.*\?\??\s*$|[\w.,\s\[\]'\"]+=\s*[!%])"
)  # magics, shell, help, and what is made of them
PYTHON_MAGIC = re.compile(r"\s*%%(?:time|timeit|capture|prun|python3?|py|writefile)\b")
MOST_REPAIRS = 20  # lines of one cell that are given up before the whole cell is


def notebook_code(text: str, notes: list[Note]) -> str:
    """Code cells in order, each under a comment with its number; what is not Python becomes comments, and is said."""
    try:
        cells = json.loads(text)["cells"]
        sources = [
            (number, _joined(cell["source"])) for number, cell in enumerate(cells) if cell["cell_type"] == "code"
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        notes.append(Note("notebook", detail=type(error).__name__))
        return text
    return "".join(f"# cell {number}\n{_python_of(source, number, notes)}\n" for number, source in sources)


def _joined(source: object) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, list):
        return "".join(str(line) for line in source)
    raise TypeError("a cell's source is neither text nor lines")


def _python_of(source: str, number: int, notes: list[Note]) -> str:
    """A cell of which every line that is left parses; the others are comments."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    tree, _ = parse("\n".join(lines))
    other = lines[0].lstrip().startswith("%%") and not PYTHON_MAGIC.match(lines[0])
    if tree is None:
        lines = [_comment(line) if SPECIAL.match(line) else line for line in lines]
    for _ in range(1 if other else MOST_REPAIRS):  # a shell's lines are not mended into Python one by one
        tree, problem = parse("\n".join(lines))
        if tree is not None:
            return "\n".join(lines)
        wrong = re.match(r"line (\d+):", problem)
        place = min(int(wrong[1]), len(lines)) - 1 if wrong else 0
        if lines[place].startswith("#"):
            break  # what is wrong is not where the parser noticed it
        lines[place] = _comment(lines[place])
    notes.append(Note("cell", detail=str(number)))
    return "\n".join(_comment(line) for line in lines)


def _comment(line: str) -> str:
    return f"# {line}"
