"""A team's key and the keys under it: from the environment or a file that only its owner can read.

    course key ── HKDF(salt: course and year, info: team and epoch) ──> team key
    team key ── HKDF(info: purpose) ──> checkpoint, log, events, results

Source: RFC 5869 (HKDF), written out over `hmac`. `shared/fingerprint/course.py` holds the course's side.
"""

import hashlib
import hmac
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.errors import UserError
from shared.fingerprint.verdicts import BrokenError, Verdict

TEAM_VARIABLE = "CC0C2_TEAM"
KEY_VARIABLE = "CC0C2_TEAM_KEY"
FILE_VARIABLE = "CC0C2_TEAM_KEY_FILE"

DEMO_TEAM = "demo"
DEMO_KEY = hashlib.sha256(b"cc0c2 demo key: everybody knows it, so it proves nothing").digest()
KEY_BYTES = 32
TEAM_FORMAT = "cc0c2.team-key.v2"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LAST_EPOCH = 999_999_999


def team_name(text: str) -> str:
    """The one spelling of a team's name.

    Raises:
        UserError: If it is none.

    >>> team_name("Quipu")
    'quipu'
    """
    if not NAME.fullmatch(text):
        raise UserError(f"{text!r} is no name of a team: letters, digits, '.', '-', '_', at most 64")
    return text.lower()


def hkdf_extract(salt: bytes, material: bytes) -> bytes:
    """A 32-byte pseudorandom key from any secret. Source: RFC 5869, section 2.2, with SHA-256."""
    return hmac.digest(salt or bytes(32), material, "sha256")


def hkdf_expand(key: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """`length` bytes (at most 8160) for the purpose `info`. Source: RFC 5869, section 2.3, with SHA-256."""
    if not 0 < length <= 255 * 32:
        raise ValueError(f"HKDF gives 1 to 8160 bytes, not {length}")
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


class Keys(Protocol):
    """Whoever verifies: a team with its own key, or a grader with the course's."""

    def find(self, key_id: str, version: int = 2) -> "TeamKey":
        """The key of this name, if the verifier accepts it.

        Raises:
            BrokenError: WRONG_TEAM or UNKNOWN_EPOCH.
        """


@dataclass(frozen=True)
class TeamKey:
    """A team's name and secret.

    Attributes:
        team: Name that manifests and logs carry: letters, digits, dot, hyphen, underscore; at most 64. Capitals are
            written small: Quipu and quipu are one team.
        secret: 32 bytes; kept out of repr, so that a traceback or a log never shows it.
        epoch: Counts the team's keys; a new one is issued when one may have leaked.
    """

    team: str
    secret: bytes = field(repr=False)
    epoch: int = 1

    def __post_init__(self) -> None:
        """Refuse a name that could be read as part of a key id, and an epoch that a key id cannot hold."""
        object.__setattr__(self, "team", team_name(self.team))
        if not 1 <= self.epoch <= LAST_EPOCH:
            raise UserError(f"epoch {self.epoch} of {self.team}: must be from 1 to {LAST_EPOCH}")

    @staticmethod
    def spelled(team: object) -> object:
        """A name as a key has it; anything else as it is."""
        return team.lower() if isinstance(team, str) else team

    @property
    def is_demo(self) -> bool:
        """Whether this is the key that everybody knows."""
        return hmac.compare_digest(self.secret, DEMO_KEY)

    @property
    def id(self) -> str:
        """Public name of the key, team/epoch/digest: tells keys apart and gives nothing away."""
        return f"{self.team}/{self.epoch}/{self._digest}"

    @property
    def _digest(self) -> str:
        return self.subkey("key id").hex()[:16]

    def subkey(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose, so that a log's MAC can never pass for a checkpoint's."""
        return hkdf_expand(self.secret, b"cc0c2/v2/" + purpose.encode())

    def v1_subkey(self, purpose: str) -> bytes:
        """As `subkey`, for what version 1 of the formats wrote; nothing new is sealed with it."""
        return hmac.digest(self.secret, b"cc0c2/v1/" + purpose.encode(), "sha256")

    def find(self, key_id: str, version: int = 2) -> "TeamKey":
        """This key or the demo key, whichever `key_id` names.

        Raises:
            BrokenError: WRONG_TEAM; UNKNOWN_EPOCH for another epoch of the same team.
        """
        if version == 1:
            for candidate in (self, TeamKey(DEMO_TEAM, DEMO_KEY)):
                if candidate.v1_subkey("key id").hex()[:16] == key_id:
                    return candidate
            raise BrokenError(Verdict.WRONG_TEAM, f"signed with key {key_id}, not with {self.team}'s")
        team, epoch, digest = split_key_id(key_id)
        if demo := demo_key(team, epoch, digest):
            return demo
        if (team, epoch, digest) == split_key_id(self.id):
            return self
        if team == self.team and epoch != self.epoch:
            raise BrokenError(Verdict.UNKNOWN_EPOCH, f"signed in epoch {epoch} of {team}; this key is of {self.epoch}")
        raise BrokenError(Verdict.WRONG_TEAM, f"signed with key {key_id}, not with {self.id}")


def split_key_id(key_id: object) -> tuple[str, int, str]:
    """Team, epoch and digest of a key id.

    Raises:
        BrokenError: TAMPERED, if it is none.
    """
    matched = (
        re.fullmatch(rf"({NAME.pattern})/([0-9]{{1,9}})/([0-9a-f]{{16}})", key_id) if isinstance(key_id, str) else None
    )
    if matched is None:
        raise BrokenError(Verdict.TAMPERED, f"{key_id!r} is no key id")
    if int(matched[2]) < 1:
        raise BrokenError(Verdict.TAMPERED, f"{key_id!r} names no epoch")
    return matched[1].lower(), int(matched[2]), matched[3]


def demo_key(team: str, epoch: int, digest: str) -> TeamKey | None:
    """The demo key under the team's name, if that is what the digest names."""
    demo = TeamKey(team, DEMO_KEY, epoch)
    return demo if demo.id.endswith(f"/{digest}") else None


def team_key() -> TeamKey:
    """The key of this environment, or else the demo key.

    CC0C2_TEAM_KEY_FILE names a file that `issue-team-key` wrote. CC0C2_TEAM_KEY (or such a file) may also hold 64
    hexadecimal digits; CC0C2_TEAM is then the team.

    Raises:
        UserError: If the key is malformed, or the file is missing or readable by others.
    """
    team = os.environ.get(TEAM_VARIABLE, "")
    text, origin = os.environ.get(KEY_VARIABLE), KEY_VARIABLE
    if text is None and FILE_VARIABLE in os.environ:
        origin = os.environ[FILE_VARIABLE]
        text = read_private(Path(origin))
    if text is None:
        return TeamKey(team or DEMO_TEAM, DEMO_KEY)
    if text.lstrip().startswith("{"):
        return _issued_key(text, origin, team)
    if not team:
        raise UserError(f"a team key is set but no team: set {TEAM_VARIABLE} to the team's name")
    return TeamKey(team, parse_secret(text.strip(), origin))


def _issued_key(text: str, origin: str, team: str) -> TeamKey:
    try:
        issued = json.loads(text)
        if issued["format"] != TEAM_FORMAT:
            raise KeyError
        key = TeamKey(issued["team"], parse_secret(issued["secret"], origin), int(issued["epoch"]))
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{origin} does not hold a key of format {TEAM_FORMAT}") from None
    if team.lower() not in ("", key.team):
        raise UserError(f"{origin} is the key of {key.team}, and {TEAM_VARIABLE} says {team}")
    return key


def parse_secret(text: str, origin: str) -> bytes:
    """32 bytes from 64 hexadecimal digits.

    Raises:
        UserError: If `text` is anything else; `origin` says where it came from.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UserError(f"{origin} does not hold a key: {2 * KEY_BYTES} hexadecimal digits are expected")
    return bytes.fromhex(text)


def read_private(path: Path) -> str:
    """A small text file that nobody but its owner can read.

    Raises:
        UserError: If it cannot be read, or others can read it.
    """
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UserError(f"{path} can be read by others (mode {mode:04o}): run chmod 600 {path}")
            return file.read(4096)
    except OSError as error:
        raise UserError(f"cannot read the key {path}: {error.strerror}") from None


def write_private(path: Path, text: str) -> None:
    """Make a file with mode 0600; it must not exist, not even as a link.

    Raises:
        UserError: If it exists or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise UserError(f"{path} exists and is not overwritten; choose another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)  # a umask may have taken rights from the owner, never given some to others
        file.write(text)
