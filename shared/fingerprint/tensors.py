"""Which tensors a safetensors file holds, each with its own digest: names the tensor that was changed.

Source: the safetensors format description (8 bytes of header length, a JSON header, the data without holes). Read here
with the standard library and more strictly than a loader needs, since a header with two readings hides a tensor.
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.fingerprint import hashing, strict
from shared.fingerprint.verdicts import BrokenError, Verdict

SUFFIX = ".safetensors"
LARGEST_HEADER = 2**24  # bytes; the format's reference implementation allows 100 MB, more than a verifier should parse
WIDTHS = {4: "F4", 6: "F6_E2M3 F6_E3M2", 8: "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ"}
WIDTHS |= {16: "I16 U16 F16 BF16", 32: "I32 U32 F32", 64: "C64 F64 I64 U64"}
BITS = {dtype: bits for bits, dtypes in WIDTHS.items() for dtype in dtypes.split()}


@dataclass(frozen=True)
class Extent:
    """One tensor's description and where its bytes are, counted from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def extents(descriptor: int) -> list[Extent]:
    """The tensors of an open safetensors file, in the order of their bytes.

    Raises:
        BrokenError: TAMPERED for a cut or oversized header, duplicate keys, an unknown type, a shape that does not fit
            its bytes, and for data that overlap, leave a hole or leave the file.
    """
    size = os.fstat(descriptor).st_size
    length = int.from_bytes(os.pread(descriptor, 8, 0), "little")
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise BrokenError(Verdict.TAMPERED, f"the header claims {length} bytes of a file of {size}")
    header = strict.loads(os.pread(descriptor, length, 8), "the header")
    if not isinstance(header, dict) or not _strings(header.pop("__metadata__", {})):
        raise BrokenError(Verdict.TAMPERED, "the header is not a table of tensors")
    found = sorted((_extent(name, entry, 8 + length) for name, entry in header.items()), key=lambda e: (e.start, e.end))
    position = 8 + length
    for extent in found:
        if extent.start != position:
            what = "overlaps the one before it" if extent.start < position else "leaves a hole before it"
            raise BrokenError(Verdict.TAMPERED, f"tensor {extent.name!r} {what}")
        position = extent.end
    if position != size:
        raise BrokenError(Verdict.TAMPERED, f"the tensors end at byte {position} of {size}")
    return found


def _extent(name: str, entry: Any, base: int) -> Extent:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise BrokenError(Verdict.TAMPERED, f"tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise BrokenError(Verdict.TAMPERED, f"tensor {name!r} has the unknown type {dtype!r}")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise BrokenError(Verdict.TAMPERED, f"tensor {name!r} has a shape or offsets that are no counts")
    if math.prod(shape) * BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise BrokenError(Verdict.TAMPERED, f"tensor {name!r}: shape {shape} of {dtype} does not fit its bytes")
    return Extent(name, dtype, tuple(shape), base + offsets[0], base + offsets[1])


def _strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2**63 for each in value)


def digest(descriptor: int, extent: Extent) -> dict[str, Any]:
    """Name, dtype, shape, and the SHA-256 of all three together with the tensor's bytes.

    Bytes, not numbers: −0 differs from 0, and a NaN equals itself.
    """
    described = {"name": extent.name, "dtype": extent.dtype, "shape": list(extent.shape)}
    value, _ = hashing.sha256_range(descriptor, extent.start, extent.end, strict.dumps(described) + b"\n")
    return {**described, "sha256": value}


def difference(saved: Iterable[dict[str, Any]], descriptor: int) -> str:
    """What became of the tensors of a file that is no longer the saved one, in words."""
    try:
        now = {e.name: digest(descriptor, e) for e in extents(descriptor)}
    except BrokenError as broken:
        return broken.detail
    before = {entry["name"]: entry for entry in saved}
    gone, new = sorted(before.keys() - now.keys()), sorted(now.keys() - before.keys())
    if gone and new:
        return f"tensor {gone[0]!r} is gone and {new[0]!r} is new: renamed or exchanged"
    if gone or new:
        return f"tensor {(gone or new)[0]!r} is {'gone' if gone else 'new'}"
    for name in sorted(before):
        for part in ("dtype", "shape", "sha256"):
            if before[name][part] != now[name][part]:
                return f"tensor {name!r} has another {part.replace('sha256', 'content')}"
    return "the header was edited, every tensor is intact"
