"""Commands in processes of their own, as a terminal starts them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial


@contextmanager
def started(*words: object) -> Iterator["subprocess.Popen[str]"]:
    """Python with these arguments, in a process group of its own. Nothing of it is left at the end."""
    pipe, given = subprocess.PIPE, [sys.executable, *map(str, words)]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background ignores it
    with subprocess.Popen(
        given, stdout=pipe, stderr=pipe, text=True, start_new_session=True, preexec_fn=listening
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
