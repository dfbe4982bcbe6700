"""`python -m shared.presentation.grading.fingerprints PATH`: what verifies below a folder, as JSON, for the grader."""

import json
import sys
from pathlib import Path

from shared.errors import UserError
from shared.fingerprint import verify


def main(path: Path) -> int:
    """Print the findings; 0 even if some are bad, since the grader judges them; 2 if there is nothing to verify."""
    try:
        found = verify(path)
    except UserError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 2
    rows = [
        {"path": str(f.path), "verdict": f.verdict.value, "unchanged": f.verdict.unchanged, "detail": f.detail}
        for f in found
    ]
    sys.stdout.write(json.dumps({"findings": rows}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
