"""Ctrl-C and SIGTERM between two rows: never in the middle of one, whose state would be half that of the next."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Whole:
    """Lets signals wait until what is being done is whole; while rows are waited for, they come at once."""

    def __init__(self) -> None:
        self._inside = False
        self._waiting: BaseException | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._come) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    @contextmanager
    def row(self) -> Iterator[None]:
        """What must not be cut; a signal that came meanwhile is raised behind it."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
        asked, self._waiting = self._waiting, None
        if asked is not None:
            raise asked

    def _come(self, number: int, _: FrameType | None) -> None:
        asked = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(0)
        if not self._inside:
            raise asked
        self._waiting = asked
