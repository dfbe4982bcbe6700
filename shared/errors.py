"""Errors that a person causes, and how a command reports them: one line, exit code 2, no traceback."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import tyro

Config = TypeVar("Config")
Result = TypeVar("Result")

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended
PIPE_CLOSED = 141  # and for one whose reader went away


class UserError(Exception):
    """Something a person can mend: says what was wrong, where, and what to do, in one line."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn a UserError or a Ctrl-C inside the block into one line on stderr and an exit code (2 or 130)."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was saved before stays; continue with --resume if the command has it\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `... | head` has read enough: that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        sys.exit(PIPE_CLOSED)


def command(main: Callable[[Config], Result], config: type[Config], args: list[str] | None = None) -> Result:
    """Run `main` on the configuration that the command line describes.

    Args:
        main: Takes the configuration; what it returns is returned.
        config: A frozen dataclass; its field docstrings are the help text.
        args: Words of the command line; by default those of this process.
    """
    with reported():
        return main(tyro.cli(config, prog=_typed(), args=args, description=main.__doc__, use_underscores=True))
    raise AssertionError("unreachable")  # `reported` exits or re-raises


def _typed() -> str | None:
    """How this program was started, for its help: `python -m package.module`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
