"""Errors that a person causes, and how a command reports them: one line, exit code 2, no traceback."""

import atexit
import dataclasses
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tyro

from shared.interrupt import INTERRUPTED, leave_at_once

Config = TypeVar("Config")
Result = TypeVar("Result")

LARGEST = 2**31 - 1  # of a whole number: libraries hold lengths and counts in 32 bits
LARGEST_SEED = 2**32 - 1  # numpy's
NO_MEMORY = "can't allocate memory"  # in torch's RuntimeError
PIPE_CLOSED = 141  # what a shell reports for a process whose reader went away


class UserError(Exception):
    """Something a person can mend: says what was wrong, where, and what to do, in one line."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn a UserError or a Ctrl-C inside the block into one line on stderr and an exit code (2 or 130).

    Who knows how to go on adds it to the KeyboardInterrupt as a note.
    """
    if signal.getsignal(signal.SIGINT) is leave_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before, sys.unraisablehook = sys.unraisablehook, _once_more
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and NO_MEMORY not in str(error):
            raise
        sys.stderr.write("error: there is not enough memory for this: choose smaller sizes\n")
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"{'; '.join(['interrupted', *getattr(interrupt, '__notes__', [])])}\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `... | head` has read enough: that is no error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        sys.exit(PIPE_CLOSED)
    finally:
        sys.unraisablehook = before


def _once_more(unraisable: "sys.UnraisableHookArgs") -> None:
    """A Ctrl-C that came while a destructor or a callback of C ran is lost there, and the command would go on."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        again = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        again.daemon = True  # it comes again once the destructor has ended
        again.start()
    else:
        sys.__unraisablehook__(unraisable)


def command(main: Callable[[Config], Result], config: type[Config], args: list[str] | None = None) -> Result:
    """Run `main` on the configuration that the command line describes.

    Args:
        main: Takes the configuration; what it returns is returned.
        config: A frozen dataclass; its field docstrings are the help text.
        args: Words of the command line; by default those of this process.
    """
    # Once the work is done Ctrl-C has nothing to end: while Python takes itself down it would only cut the exit code.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    with reported():
        chosen = tyro.cli(config, prog=_typed(), args=args, description=main.__doc__, use_underscores=True)
        refuse_odd_numbers(chosen)
        return main(chosen)
    raise AssertionError("unreachable")  # `reported` exits or re-raises


def refuse_odd_numbers(config: Any) -> None:
    """Refuse numbers that no option means, and that would end in a library's traceback.

    Raises:
        UserError: For a seed below 0 or above 2³² − 1, NaN, an infinity, a whole number beyond 32 bits.
    """
    for each in dataclasses.fields(config) if dataclasses.is_dataclass(config) else ():
        value = getattr(config, each.name)
        refuse_odd_numbers(value)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise UserError(f"--{each.name} {number}: must be a finite number")
            if isinstance(number, int) and each.name.endswith("seed"):
                if not 0 <= number <= LARGEST_SEED:
                    raise UserError(f"--{each.name} {number}: must be in 0 to 2³² − 1")
            elif isinstance(number, int) and abs(number) > LARGEST:
                raise UserError(f"--{each.name} {number}: must be at most {LARGEST}")


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that start inside the block never see Ctrl-C, which a terminal sends to all: their parent ends them.

    A Ctrl-C that comes meanwhile waits for the end of the block. Source: POSIX, exec keeps the mask of signals.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _typed() -> str | None:
    """How this program was started, for its help: `python -m package.module`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
