"""`python -m shared.course.grading.fingerprints PATH …`: what verifies there, as JSON, for the grader."""

import json
import sys
from pathlib import Path

from shared.errors import UserError
from shared.fingerprint import verify


def main(paths: list[Path]) -> int:
    """Print the findings; 0 even if some are bad, since the grader judges them; 2 if there is nothing to verify."""
    findings, errors = [], []
    for path in paths:
        try:
            findings += verify(path)
        except UserError as error:
            errors.append(str(error))
    rows = [
        {"path": str(f.path), "verdict": f.verdict.value, "unchanged": f.verdict.unchanged, "detail": f.detail}
        for f in findings
    ]
    sys.stdout.write(json.dumps({"findings": rows, "error": "; ".join(errors)}) + "\n")
    return 0 if rows else 2


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
