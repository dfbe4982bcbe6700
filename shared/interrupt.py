"""Ctrl-C while a command is still importing: nothing was begun, so it ends at once, in one line."""

import os
import signal
import sys
from typing import Any, NoReturn

INTERRUPTED = 130  # what a shell reports for a process that Ctrl-C ended


def leave_at_once(*_: Any) -> NoReturn:
    """End a process that has done nothing yet."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def until_the_command_begins() -> None:
    """Let Ctrl-C end this process at once, if it is a command (`python -m …`) that has yet to be imported."""
    if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave_at_once)
