"""A metrics log whose lines are chained: none can be edited, dropped, inserted or moved without the key.

A line is a JSON object whose last member is its MAC:

    {"seq":3,"step":40,"loss":0.71,"mac":"9f…"}

The MAC covers the previous line's MAC and the very bytes of this line before `,"mac"`. The first line opens the log
with the run's identity, the last closes it with the count; a log without its last line is INCOMPLETE.
"""

import hmac
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from shared.fingerprint.envelope import signing_key
from shared.fingerprint.keys import TeamKey
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

FORMAT = "cc0c2.log.v1"
PURPOSE = "log"
SEAL = b',"mac":"'


class ChainedLog:
    """Appends records to a JSONL file, each bound to all before it as it is written.

    Args:
        path: Must not exist; or, with `position`, a log of this team.
        key: The team's.
        identity: Goes into the opening line: run id, project, ... (JSON values).
        position: Continue behind this many lines; what follows them is cut off, since it will be written again.

    Raises:
        BrokenError: If the lines to continue from do not verify.
    """

    def __init__(self, path: Path, key: TeamKey, identity: dict[str, Any], *, position: int | None = None) -> None:
        self.path = path
        self.key = key
        self.position = 0
        self._mac = b""
        self._file: BinaryIO
        if position is None:
            self._file = path.open("xb")
            self.append({"format": FORMAT, "kind": "open", "team": key.team, "key": key.id, **identity})
            return
        lines = path.read_bytes().splitlines(keepends=True)[:position]
        self._mac = check_chain(lines, key)[-1]
        self.position = len(lines)
        self._file = path.open("r+b")
        self._file.truncate(sum(map(len, lines)))
        self._file.seek(0, os.SEEK_END)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; it has left this process when the call returns."""
        line, self._mac = seal_line({"seq": self.position, **record}, self._mac, self.key.subkey(PURPOSE))
        self._file.write(line)
        self._file.flush()
        self.position += 1

    def close(self, **summary: Any) -> None:
        """Write the closing line (once) and close the file."""
        if not self._file.closed:
            self.append({"kind": "close", "lines": self.position + 1, **summary})
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close the file without the closing line: the log stays INCOMPLETE, to be continued."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.close() if kind is None else self.abandon()


def seal_line(record: dict[str, Any], previous: bytes, subkey: bytes) -> tuple[bytes, bytes]:
    """The line's bytes with their newline, and its MAC."""
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()[:-1]
    mac = hmac.digest(subkey, previous + body, "sha256")
    return body + SEAL + mac.hex().encode() + b'"}\n', mac


def check_chain(lines: list[bytes], key: TeamKey) -> list[bytes]:
    """The MAC of every line, once all of them hold.

    Raises:
        BrokenError: With the number of the first line (from 1) that does not follow from those before.
    """
    signer = _signer(lines, key)
    subkey, previous, macs = signer.subkey(PURPOSE), b"", []
    for number, line in enumerate(lines, start=1):
        body, seal, tail = line.rpartition(SEAL)
        if not seal or not line.endswith(b'"}\n'):
            raise BrokenError(Verdict.TRUNCATED if number == len(lines) else Verdict.TAMPERED, f"line {number} is cut")
        previous = hmac.digest(subkey, previous + body, "sha256")
        if not hmac.compare_digest(previous.hex().encode(), tail[:-3]):
            raise BrokenError(Verdict.TAMPERED, f"line {number} does not follow from the lines before it")
        macs.append(previous)
    return macs


def verify_log(path: Path, key: TeamKey) -> Finding:
    """OK, UNTRUSTED-DEMO or INCOMPLETE for an intact log, else what is wrong and in which line."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        check_chain(lines, key)
        last = json.loads(lines[-1])
        if last.get("kind") != "close" or last["lines"] != len(lines):
            return Finding(path, Verdict.INCOMPLETE, f"{len(lines)} intact lines, no closing line")
        demo = _signer(lines, key).is_demo
    except FileNotFoundError:
        return Finding(path, Verdict.MISSING, "no such log")
    except BrokenError as broken:
        return Finding(path, broken.verdict, broken.detail)
    return Finding(path, Verdict.UNTRUSTED_DEMO if demo else Verdict.OK, f"{len(lines)} lines, closed")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records between the opening and the closing line, without seq and MAC; nothing is verified."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [{k: v for k, v in r.items() if k not in ("seq", "mac")} for r in records if "kind" not in r]


def _signer(lines: list[bytes], key: TeamKey) -> TeamKey:
    try:
        opening = json.loads(lines[0])
        if opening["format"] != FORMAT:
            raise BrokenError(Verdict.TAMPERED, f"line 1 is of format {opening['format']!r}, not {FORMAT!r}")
        return signing_key(opening["key"], key)
    except (IndexError, ValueError, KeyError, TypeError):
        raise BrokenError(Verdict.TAMPERED, "line 1 does not open a log") from None
