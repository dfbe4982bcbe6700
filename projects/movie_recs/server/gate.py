"""How much is computed at once, and how many may wait for it."""

import threading

from shared.web.problems import BusyError


class Doors:
    """Lets so many in; the rest is told to come back, at once and without a thread of its own."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._inside, self._most = 0, most

    def __enter__(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise BusyError("too much is asked at once", 1.0)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


class Gate(Doors):
    """Doors behind which so many compute at once and the others wait."""

    def __init__(self, at_once: int, waiting: int) -> None:
        super().__init__(at_once + waiting)
        self._free = threading.Semaphore(at_once)

    def __enter__(self) -> None:
        super().__enter__()
        self._free.acquire()

    def __exit__(self, *_: object) -> None:
        self._free.release()
        super().__exit__()
