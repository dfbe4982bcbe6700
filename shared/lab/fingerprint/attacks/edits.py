"""What an attacker does to files: flip, copy, reseal with a key of one's own."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.fingerprint import envelope, manifest
from shared.fingerprint.keys import TeamKey


def flip(path: Path, at: float = 0.5) -> None:
    """Change one bit of the byte at this share of the file, 0 to 1."""
    raw = bytearray(path.read_bytes())
    raw[min(len(raw) - 1, int(at * len(raw)))] ^= 1
    path.write_bytes(raw)


def replace(path: Path, old: bytes, new: bytes) -> None:
    """Replace one occurrence of some bytes, which must be there."""
    raw = path.read_bytes()
    assert old in raw, f"{path.name} holds no {old!r}"
    path.write_bytes(raw.replace(old, new, 1))


def exchange(one: Path, other: Path) -> None:
    """Swap two files' contents."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def put(source: Path, target: Path) -> None:
    """A copy of a folder in the place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def edit_payload(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change an envelope's body and leave its MAC: the attacker has no key."""
    document = json.loads(path.read_bytes())
    body = json.loads(base64.b64decode(document["payload"]))
    change(body)
    payload = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    document["payload"] = base64.b64encode(payload).decode()
    path.write_bytes(json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def body_of(folder: Path) -> dict[str, Any]:
    """A manifest's body, without looking at its MAC."""
    return json.loads(base64.b64decode(json.loads((folder / manifest.NAME).read_bytes())["payload"]))


def forge(folder: Path, key: TeamKey, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change a manifest's body and seal it again: the attacker has a key."""
    body = body_of(folder)
    change(body)
    envelope.write(folder / manifest.NAME, manifest.KIND, body, key)


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and data."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_header(path: Path, header: dict[str, Any] | bytes, data: bytes) -> None:
    """A safetensors file from a header (or its very bytes) and data."""
    spelled = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(spelled).to_bytes(8, "little") + spelled + data)
