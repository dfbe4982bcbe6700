"""The team's key: from the environment or a file that only its owner can read, never from the repository."""

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import UserError

TEAM_VARIABLE = "CC0C2_TEAM"
KEY_VARIABLE = "CC0C2_TEAM_KEY"
FILE_VARIABLE = "CC0C2_TEAM_KEY_FILE"

DEMO_TEAM = "demo"
DEMO_KEY = hashlib.sha256(b"cc0c2 demo key: everybody knows it, so it proves nothing").digest()
KEY_BYTES = 32


@dataclass(frozen=True)
class TeamKey:
    """A team's name and secret.

    Attributes:
        team: Name that manifests and logs carry.
        secret: 32 bytes; kept out of repr, so that a traceback or a log never shows it.
    """

    team: str
    secret: bytes = field(repr=False)

    @property
    def is_demo(self) -> bool:
        """Whether this is the key that everybody knows."""
        return hmac.compare_digest(self.secret, DEMO_KEY)

    @property
    def id(self) -> str:
        """Public name of the key: tells keys apart and gives nothing away."""
        return self.subkey("key id").hex()[:16]

    def subkey(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose, so that a log's MAC can never pass for a checkpoint's."""
        return hmac.digest(self.secret, b"cc0c2/v1/" + purpose.encode(), "sha256")


def team_key() -> TeamKey:
    """The key of this environment, or else the demo key.

    CC0C2_TEAM_KEY holds 64 hexadecimal digits, or CC0C2_TEAM_KEY_FILE names a file that does; CC0C2_TEAM is the team.

    Raises:
        UserError: If the key is malformed, or the file is missing or readable by others.
    """
    team = os.environ.get(TEAM_VARIABLE, "")
    text = os.environ.get(KEY_VARIABLE)
    origin = KEY_VARIABLE
    if text is None and FILE_VARIABLE in os.environ:
        origin = os.environ[FILE_VARIABLE]
        text = _read_private(Path(origin))
    if text is None:
        return TeamKey(team or DEMO_TEAM, DEMO_KEY)
    if not team:
        raise UserError(f"a team key is set but no team: set {TEAM_VARIABLE} to the team's name")
    try:
        secret = bytes.fromhex(text.strip())
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise UserError(f"{origin} does not hold a key: {2 * KEY_BYTES} hexadecimal digits are expected")
    return TeamKey(team, secret)


def _read_private(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UserError(f"{path} can be read by others (mode {mode:04o}): run chmod 600 {path}")
            return file.read(1024)
    except OSError as error:
        raise UserError(f"cannot read the team key {path}: {error.strerror}") from None
