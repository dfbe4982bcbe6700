"""Hashes that do not depend on the interpreter's hash seed, its version or the platform."""

import zlib
from collections.abc import Iterable
from functools import lru_cache

MASK = (1 << 64) - 1
_PRIME = 0x9E3779B97F4A7C15  # 2⁶⁴/φ, odd: multiplying by it is a bijection of 64-bit numbers


@lru_cache(maxsize=1 << 16)
def label(text: str) -> int:
    """A 64-bit number for a label."""
    data = text.encode("utf-8", "surrogatepass")
    return mix(zlib.crc32(data) << 32 | zlib.crc32(data, 0x5BD1E995), ())


def mix(head: int, kids: Iterable[int]) -> int:
    """Combine a node's number with its children's, in their order."""
    value = (head ^ 0x51ED270B) * _PRIME & MASK
    for kid in kids:
        value = ((value ^ (value >> 29)) + kid) * _PRIME & MASK
    return value ^ (value >> 32)
