"""Tables out of an R package's lazy-load files, without R: an index (.rdx) and a heap of compressed objects (.rdb).

Only what a data frame is made of is read: lists, vectors of numbers, logicals and strings, factors, their attributes.
Nothing that could run (closures, promises, environments, byte code) is understood, let alone evaluated.

Source: R Core Team, "R Internals", §1.8 "Serialization formats"; `lazyLoadDBfetch` in R's src/main/serialize.c.
"""

import bz2
import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import UserError

NULL, GLOBAL, EMPTY = 254, 253, 242
SYMBOL, PAIRLIST, CHARACTERS, LOGICALS, INTEGERS, REALS, STRINGS, LIST, REFERENCE = 1, 2, 9, 10, 13, 14, 16, 19, 255
PERSISTENT, ALTREP = 247, 238
MISSING = -(2**31)  # R's NA of whole numbers
MOST_BYTES = 512_000_000  # of an object, unpacked: a lie in its header must not take the memory


class Object:
    """A vector or a list, with its attributes by name."""

    def __init__(self, value: Any, attributes: dict[str, Any]) -> None:
        self.value, self.attributes = value, attributes

    @property
    def fields(self) -> dict[str, "Object"]:
        """Members of a list by their names."""
        return dict(zip(self.attributes["names"].value, self.value, strict=True))

    def column(self) -> list[Any]:
        """A column of a data frame as Python values; a factor as its labels, a missing value as None."""
        levels = self.attributes.get("levels")
        if levels is not None:
            return [None if code == MISSING else levels.value[code - 1] for code in self.value.tolist()]
        if isinstance(self.value, list):
            return self.value
        if self.value.dtype.kind == "i":
            return [None if number == MISSING else number for number in self.value.tolist()]
        return [None if number != number else number for number in self.value.tolist()]


class _Reader:
    """One serialized object in the XDR format, big-endian."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0
        self.seen: list[Any] = []  # what references count from 1

    def take(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.data):
            raise UserError("the R data end in the middle of an object")
        piece = self.data[self.place : self.place + count]
        self.place += count
        return piece

    def whole(self) -> int:
        return int(struct.unpack(">i", self.take(4))[0])

    def vector(self, kind: str, width: int) -> np.ndarray:
        count = self.whole()
        return np.frombuffer(self.take(width * count), dtype=kind)

    def item(self) -> Any:
        """An Object, a string, a symbol's name, or None."""
        flags = self.whole()
        kind, has_attributes, has_tag = flags & 255, bool(flags & 512), bool(flags & 1024)
        if kind in (NULL, GLOBAL, EMPTY):
            return None
        if kind == REFERENCE:
            return self.seen[(flags >> 8 or self.whole()) - 1]
        if kind == SYMBOL:
            self.seen.append(self.item())
            return self.seen[-1]
        if kind == CHARACTERS:
            length = self.whole()
            return None if length == -1 else self.take(length).decode("utf-8", "replace")
        if kind == PAIRLIST:
            return self.pairs(has_attributes, has_tag)
        return self.with_attributes(self.value(kind), has_attributes)

    def value(self, kind: int) -> Any:
        """The content of a vector or list."""
        if kind in (LOGICALS, INTEGERS):
            return self.vector(">i4", 4)
        if kind == REALS:
            return self.vector(">f8", 8)
        if kind in (STRINGS, LIST):
            return [self.item() for _ in range(self.whole())]
        raise UserError(f"the R data hold an object of type {kind}, which is not read here")

    def with_attributes(self, value: Any, has_attributes: bool) -> Object:
        found = Object(value, {})
        if has_attributes:
            found.attributes = self.item() or {}
        return found

    def pairs(self, has_attributes: bool, has_tag: bool) -> dict[str, Any]:
        """A pairlist as a dictionary of its tags; R writes attributes so."""
        found: dict[str, Any] = {}
        while True:
            if has_attributes:
                self.item()
            tag = self.item() if has_tag else str(len(found))
            found[str(tag)] = self.item()
            flags = self.whole()
            if flags & 255 == NULL:
                return found
            if flags & 255 != PAIRLIST:
                raise UserError("the R data hold a pairlist without an end")
            has_attributes, has_tag = bool(flags & 512), bool(flags & 1024)


def unserialize(data: bytes) -> Any:
    """The object that R's `serialize` wrote in its XDR format, version 2 or 3.

    Raises:
        UserError: If it is cut, or holds what is no data.
    """
    if data[:2] != b"X\n":
        raise UserError("the R data are not in XDR format")
    reader = _Reader(data)
    reader.take(2)
    version = reader.whole()
    reader.take(8)  # versions of R that wrote it, and that can read it
    if version == 3:
        reader.take(reader.whole())  # its native encoding
    return reader.item()


def data_frame(base: Path, name: str) -> dict[str, list[Any]]:
    """Columns of a data frame of an R package's data folder.

    Args:
        base: Path of the two files without their suffixes (…/data/Rdata).
        name: The object's.

    Raises:
        UserError: If a file is missing or damaged, or holds no such object.
    """
    try:
        index = unserialize(zlib.decompress(base.with_suffix(".rdx").read_bytes(), wbits=47))
        variables = index.fields["variables"].fields
        if name not in variables:
            raise UserError(f"{base}.rdb holds no '{name}'")
        start, length = (int(number) for number in variables[name].value)
        with base.with_suffix(".rdb").open("rb") as file:
            file.seek(start)
            block = file.read(length)
        return {column: values.column() for column, values in unserialize(_unpacked(block)).fields.items()}
    except (OSError, zlib.error, lzma.LZMAError, EOFError, KeyError, struct.error) as error:
        raise UserError(f"{base}.rdb cannot be read ({error}); fetch the package again") from None


def _unpacked(block: bytes) -> bytes:
    """A block of the heap: its length when unpacked, and bytes of zlib, or a letter and bytes of bzip2 or xz."""
    size = struct.unpack(">I", block[:4])[0]
    if size > MOST_BYTES:
        raise UserError(f"the R data claim {size} bytes")
    kind = block[4:5]
    if kind == b"2":
        return bz2.decompress(block[5:])
    if kind == b"Z":
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]).decompress(block[5:])
    return zlib.decompress(block[4:])
