"""`python -m shared.course.film.flip RUN GLOB`: verify a run, then flip the last bit of its last file of that name.

A film shows with it that a verification finds the smallest change. Only runs of films are meant to be spoiled this way.
"""

import sys
from pathlib import Path

from shared.errors import UserError, reported
from shared.fingerprint.verdicts import gravest
from shared.fingerprint.verify import verify


def flip(run: Path, pattern: str) -> Path:
    """Flip the last bit of the last file, by name, that matches below `run`; its path.

    Raises:
        UserError: If nothing matches, the file is empty, or something in the run has been changed already.
    """
    worst = gravest(verify(run))
    if not worst.unchanged:
        raise UserError(f"{run}: {worst.value} already, so a flipped bit would prove nothing")
    found = sorted(path for path in run.glob(pattern) if path.is_file())
    if not found or not found[-1].stat().st_size:
        raise UserError(f"{run}: no file with bytes in it matches {pattern}")
    data = bytearray(found[-1].read_bytes())
    data[-1] ^= 1
    found[-1].write_bytes(data)
    return found[-1]


def main(words: list[str]) -> int:
    """Run it on the command line's two words."""
    with reported():
        if len(words) != 2:
            raise UserError("give a run and a pattern below it: runs/lora/film 'checkpoints/*/model.safetensors'")
        flipped = flip(Path(words[0]), words[1])
        sys.stdout.write(f"intact until now\nflipped the last bit of {flipped}\n")
        return 0
    raise AssertionError("unreachable")  # `reported` exits or re-raises


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
