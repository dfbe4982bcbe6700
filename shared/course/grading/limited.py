"""`python limited.py <cpu seconds> <bytes of memory> <command …>`: become the command, under limits the kernel keeps.

Standard library only and no imports of ours: it is started by path, before anything of a submission.
"""

import os
import resource
import sys

LARGEST_FILE = 2 * 2**30  # bytes


def main(arguments: list[str]) -> None:
    """Set the limits and replace this process by the command."""
    cpu, memory, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    for kind, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
