"""A metrics log whose lines are chained: none can be edited, dropped, inserted or moved without the key.

A line is a JSON object whose last member is its MAC:

    {"seq":3,"step":40,"loss":0.71,"mac":"9f…"}

The MAC covers the run id, seq, the previous line's MAC and the very bytes of this line before `,"mac"`. Each line has
its own key, hashed from the one before, and the old one is forgotten: who seizes a running logger can go on, and cannot
rewrite what it wrote. The first line opens the log with the run's identity, the last closes it with the count; a log
without its last line is INCOMPLETE.

A process may be killed while it writes a line: a last line without its end is passed over, and the log is INCOMPLETE.

A run that goes on from a checkpoint cuts the log to the checkpoint's position and writes the rest again. What tells
this from an attack is the checkpoint's manifest: it holds the head (position and MAC) of the log as it was, so a log
that is shorter or different before that point is found (shared/fingerprint/verify.py).

Source: the chain of keys follows the idea of forward-secure sealing in systemd's journal, with a hash as generator.
"""

import hashlib
import hmac
import json
import lzma
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from shared.fingerprint import strict
from shared.fingerprint.keys import Keys, TeamKey, hkdf_expand
from shared.fingerprint.verdicts import BrokenError, Finding, Verdict

FORMAT, OLD_FORMAT = "cc0c2.log.v2", "cc0c2.log.v1"
KIND = "log"
SEAL = b',"mac":"'
LARGEST = 2**25  # bytes; a log line has about 200
MEMORY = 2**27  # bytes that a decompressor may ask for; what `keep_log` writes needs half of it
RESERVED = ("seq", "mac", "kind")
OPENING = {"run": strict.is_label, "project": strict.optional(strict.is_label), "team": str}
OPENING |= {name: strict.optional(str) for name in ("config", "env", "data")}
CLOSING = {"lines": int, "events": strict.optional(str)}


class Chain:
    """The MAC of each next line; the key that made one is gone before the next is asked for.

    Args:
        key: The team's.
        run: Id of the run.
    """

    def __init__(self, key: TeamKey, run: str) -> None:
        name = run.encode()
        self.seq = 0
        self.head = bytes(32)
        self._prefix = FORMAT.encode() + len(name).to_bytes(8, "big") + name
        self._key = hkdf_expand(key.subkey(KIND), b"chain" + name)

    def next(self, body: bytes) -> bytes:
        """The MAC of the line with this body, as 64 hexadecimal digits."""
        self.head = hmac.digest(self._key, self._prefix + self.seq.to_bytes(8, "big") + self.head + body, "sha256")
        self._key = hashlib.sha256(b"cc0c2 next log key" + self._key).digest()
        self.seq += 1
        return self.head.hex().encode()


class OldChain(Chain):
    """Version 1: one key for all lines, and the previous MAC. Read, and continued where it was begun."""

    def __init__(self, key: TeamKey) -> None:
        super().__init__(key, "")
        self.head, self._key = b"", key.v1_subkey(KIND)

    def next(self, body: bytes) -> bytes:
        """As `Chain.next`."""
        self.head = hmac.digest(self._key, self.head + body, "sha256")
        self.seq += 1
        return self.head.hex().encode()


@dataclass(frozen=True)
class CheckedLog:
    """A log whose every line holds.

    Attributes:
        records: Parsed lines, the opening and the closing one included.
        macs: One a line, in hexadecimal.
        chain: After the last line.
        signer: The key it was written with.
        cut: Whether the beginning of one more line follows.
    """

    records: list[dict[str, Any]]
    macs: list[str]
    chain: Chain
    signer: TeamKey
    cut: bool = False

    @property
    def opening(self) -> dict[str, Any]:
        """The first record: run, project, team, digests."""
        return self.records[0]

    @property
    def version(self) -> int:
        """Version of the format."""
        return 1 if isinstance(self.chain, OldChain) else 2

    @property
    def closed(self) -> bool:
        """Whether the last line closes the log with the right count."""
        return self.records[-1].get("kind") == "close" and self.records[-1].get("lines") == len(self.records)

    def finding(self, path: Path) -> Finding:
        """OK, UNTRUSTED-DEMO or INCOMPLETE."""
        if not self.closed:
            behind = ", and the beginning of one more" if self.cut else ""
            return Finding(path, Verdict.INCOMPLETE, f"{len(self.records)} intact lines{behind}, no closing line")
        verdict = Verdict.UNTRUSTED_DEMO if self.signer.is_demo else Verdict.OK
        return Finding(path, verdict, f"{len(self.records)} lines, closed, team {self.opening.get('team', '?')}")


class ChainedLog:
    """Appends records to a JSONL file, each bound to all before it. It keeps no key but the next line's.

    Args:
        path: Must not exist; or, with `position`, a log of this team.
        key: The team's.
        identity: Goes into the opening line: run id (needed), project, ... (JSON values).
        position: Continue behind this many lines; what follows them is cut off, since it will be written again.
        head: The MAC, in hexadecimal, that the last of those lines must have (a checkpoint's manifest holds it).

    Raises:
        BrokenError: If the lines to continue from do not verify, or end in another head.
    """

    def __init__(
        self,
        path: Path,
        key: TeamKey,
        identity: dict[str, Any],
        *,
        position: int | None = None,
        head: str | None = None,
    ) -> None:
        self.path = path
        self._file: BinaryIO
        if position is None:
            self._chain = Chain(key, identity["run"])
            self._file = path.open("xb")
            opening = {"format": FORMAT, "kind": "open", "team": key.team, "epoch": key.epoch, "key": key.id}
            self._write({**opening, **identity})
            return
        lines = strict.read_regular(path, LARGEST).splitlines(keepends=True)[:position]
        try:
            checked = check_lines(lines, key)
        except BrokenError as broken:
            raise BrokenError(broken.verdict, broken.detail, path) from None
        if len(checked.records) < position or head not in (None, checked.macs[-1]):
            raise BrokenError(Verdict.TRUNCATED, f"the log no longer holds the {position} lines to go on from", path)
        self._chain = checked.chain
        self._file = path.open("r+b")
        self._file.truncate(sum(map(len, lines)))
        self._file.seek(0, os.SEEK_END)

    @property
    def position(self) -> int:
        """Lines written so far."""
        return self._chain.seq

    @property
    def head(self) -> dict[str, Any]:
        """Where the log stands, for a checkpoint's manifest."""
        return {"position": self._chain.seq, "mac": self._chain.head.hex()}

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; it has left this process when the call returns.

        Raises:
            ValueError: If it holds NaN or an infinity, or a member that the log itself writes (seq, mac, kind).
        """
        if any(name in record for name in RESERVED):
            raise ValueError(f"{', '.join(RESERVED)} are the log's own names")
        self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        numbered = {"seq": self._chain.seq, **record}
        body = json.dumps(numbered, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()[:-1]
        self._file.write(body + SEAL + self._chain.next(body) + b'"}\n')
        self._file.flush()

    def close(self, **summary: Any) -> None:
        """Write the closing line (once) and close the file."""
        if not self._file.closed:
            self._write({"kind": "close", "lines": self.position + 1, **summary})
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close the file without the closing line: the log stays INCOMPLETE, to be continued."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.close() if kind is None else self.abandon()


def check_lines(lines: list[bytes], keys: Keys) -> CheckedLog:
    """Check every line against those before it; parse only what holds.

    Raises:
        BrokenError: With the number of the first line (from 1) that does not follow from those before.
    """
    if not lines or (len(lines) == 1 and not lines[0].endswith(b"\n")):
        raise BrokenError(Verdict.INCOMPLETE, "ends before its first line does")
    cut = not lines[-1].endswith(b"\n")
    if cut:
        lines = lines[:-1]
    chain, signer = _chain(lines, keys)
    macs = []
    for number, line in enumerate(lines, start=1):
        body, seal, tail = line.rpartition(SEAL)
        if not seal or not line.endswith(b'"}\n'):
            raise BrokenError(Verdict.TAMPERED, f"line {number} is cut")
        if not hmac.compare_digest(chain.next(body), tail[:-3]):
            raise BrokenError(*_explain(number, line, lines[0]))
        macs.append(tail[:-3].decode())
    records = [strict.loads(line, f"line {number}") for number, line in enumerate(lines, start=1)]
    for number, record in enumerate(records, start=1):
        strict.shaped(record, {"seq": int}, f"line {number}")
        if record["seq"] != number - 1 or (record.get("kind") == "close" and number < len(records)):
            raise BrokenError(Verdict.TAMPERED, f"line {number} is not in its place")
    strict.shaped(records[0], OPENING, "line 1")
    if records[-1].get("kind") == "close":
        strict.shaped(records[-1], CLOSING, f"line {len(records)}")
    if cut and records[-1].get("kind") == "close":
        raise BrokenError(Verdict.TAMPERED, f"something follows line {len(records)}, which closes the log")
    return CheckedLog(records, macs, chain, signer, cut)


def _explain(number: int, line: bytes, first: bytes) -> tuple[Verdict, str]:
    """What a line that does not hold looks like; it is not to be trusted, so this only words the reason."""
    try:
        record, opening = strict.loads(line, "line"), strict.loads(first, "line")
        if number > 1 and record.get("kind") == "open" and record.get("run") != opening.get("run"):
            return Verdict.WRONG_RUN, f"line {number} opens the log of another run, {record.get('run')}"
        hint = "" if record.get("seq") == number - 1 else f" (it is numbered {record.get('seq')}, not {number - 1})"
    except (BrokenError, AttributeError):
        hint = ""
    return Verdict.TAMPERED, f"line {number} does not follow from the lines before it{hint}"


def _chain(lines: list[bytes], keys: Keys) -> tuple[Chain, TeamKey]:
    """The chain that the opening line names. Its words are checked with the first MAC, since they choose its key."""
    try:
        opening = strict.loads(lines[0], "line 1")
        version = {FORMAT: 2, OLD_FORMAT: 1}[opening["format"]]
        signer = keys.find(opening["key"], version)
        if version == 1:
            return OldChain(signer), signer
        chain, claimed = Chain(signer, opening["run"]), (opening["team"], opening["epoch"])
    except (IndexError, KeyError, TypeError, AttributeError):  # nothing is authenticated yet: any shape may come
        raise BrokenError(Verdict.TAMPERED, "line 1 does not open a log") from None
    if (signer.spelled(claimed[0]), claimed[1]) != (signer.team, signer.epoch):
        raise BrokenError(Verdict.WRONG_TEAM, f"line 1 claims team {claimed[0]}, and the key is {signer.id}")
    return chain, signer


def check_log(path: Path, keys: Keys) -> CheckedLog:
    """A log from a file, plain or (by its suffix .xz) compressed.

    Raises:
        BrokenError: MISSING, or as `check_lines`.
    """
    raw = strict.read_regular(path, LARGEST)
    if path.suffix == ".xz":
        raw = _unfold(raw, path)
    try:
        return check_lines(raw.splitlines(keepends=True), keys)
    except BrokenError as broken:
        raise BrokenError(broken.verdict, broken.detail, path) from None


def _unfold(raw: bytes, path: Path) -> bytes:
    """One whole xz stream, within bounds: a small file may unfold to any size, and ask for any memory."""
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    try:
        unfolded = reader.decompress(raw, LARGEST + 1)
    except (EOFError, lzma.LZMAError) as error:
        raise BrokenError(Verdict.TAMPERED, f"{path.name} cannot be decompressed: {error}", path) from None
    if len(unfolded) > LARGEST:
        raise BrokenError(Verdict.TAMPERED, f"{path.name} unfolds to more than {LARGEST} bytes", path)
    if not reader.eof or reader.unused_data:
        raise BrokenError(Verdict.TAMPERED, f"{path.name} is not one whole xz stream", path)
    return unfolded


def verify_log(path: Path, keys: Keys) -> Finding:
    """OK, UNTRUSTED-DEMO or INCOMPLETE for an intact log, else what is wrong and in which line."""
    try:
        return check_log(path, keys).finding(path)
    except BrokenError as broken:
        return broken.at(path)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records between the opening and the closing line, without seq and MAC; nothing is verified."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [{k: v for k, v in r.items() if k not in ("seq", "mac")} for r in records if "kind" not in r]
