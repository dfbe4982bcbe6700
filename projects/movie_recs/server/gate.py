"""How much is computed at once, and how many may wait for it."""

import threading

from shared.web.problems import BusyError


class Gate:
    """Lets so many compute at once and so many wait; the rest is told to come back."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._inside, self._most = 0, at_once + waiting

    def __enter__(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise BusyError("too many lists are being made", 1.0)
            self._inside += 1
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()
        with self._lock:
            self._inside -= 1
