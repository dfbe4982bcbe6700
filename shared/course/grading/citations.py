"""`python -m shared.course.grading.citations RESULTS OUT`: how logs give the cells of its tables, for the grader."""

import sys
from pathlib import Path
from typing import Any

from shared.files import write_json
from shared.fingerprint import team_key
from shared.fingerprint.citations import Cited, Library
from shared.fingerprint.results import cited_cells


def main(results: Path, out: Path) -> None:
    """Write the citations of every table that is as it was sealed, by row and column."""
    keys = team_key()
    found = cited_cells(results, keys, Library(keys, [results.parents[2] / "runs" / results.parent.name]))
    rows = {
        name: [{column: told(cell) for column, cell in row.items()} for row in each] for name, each in found.items()
    }
    write_json(out, rows)


def told(cell: Cited) -> dict[str, Any]:
    """A citation in words and numbers."""
    lines = sum(part.last - part.first + 1 for part in cell.parts)
    logs = list(dict.fromkeys(part.run for part in cell.parts))
    return {"function": cell.rule, "of": cell.field, "lines": lines, "logs": logs}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
