"""SHA-256 of many files at once: hashlib lets go of the interpreter lock, so two threads hash on two cores."""

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 2**20  # bytes; fits a second-level cache, and a call per MiB costs nothing
WORKERS = 4  # more gain nothing where the disk or the memory is the limit


def sha256_range(descriptor: int, start: int = 0, end: int | None = None, prefix: bytes = b"") -> tuple[str, int]:
    """SHA-256 in hexadecimal of `prefix` and of bytes [start, end) of an open file, and how many bytes those were.

    Reads by position: several threads may share the descriptor.
    """
    digest, buffer, position = hashlib.sha256(prefix), bytearray(CHUNK), start
    view = memoryview(buffer)
    while end is None or position < end:
        wanted = CHUNK if end is None else min(CHUNK, end - position)
        got = os.preadv(descriptor, [view[:wanted]], position)
        if got == 0:
            break
        digest.update(view[:got])
        position += got
    return digest.hexdigest(), position - start


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` on every item, in order; without threads where there is one item or one core."""
    items = list(items)
    workers = min(WORKERS, len(items), os.cpu_count() or 1)
    if workers < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))
