"""API keys: shown once when they are made, kept as digests in a file of mode 0600.

A key is `<prefix>_<id>_<secret>` with 256 random bits in its secret. A digest of SHA-256 is enough for these: a slow
hash is for passwords, which people choose and others can guess.
"""

import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from shared.errors import UserError
from shared.files import atomic_path, json_text, read_json

KEY = re.compile(r"[a-z0-9]+_([0-9a-f]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
MOST_NAME = 100  # characters


class ApiKeys:
    """The keys of a service in a JSON file: id → name, digest, when it was made, when revoked.

    Processes may share the file: what another one issued or revoked holds at the next check.
    """

    def __init__(self, path: Path, *, prefix: str = "cc0c2") -> None:
        self.path, self.prefix = path, prefix
        self._read: tuple[tuple[int, int], dict[str, Any]] = ((0, 0), {})

    def issue(self, name: str) -> str:
        """Make a key for somebody. It is returned here and never again.

        Raises:
            UserError: If the name is empty or too long.
        """
        if not 0 < len(name) <= MOST_NAME:
            raise UserError(f"a key's name has 1 to {MOST_NAME} characters, not {len(name)}")
        identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        with self._locked():
            known = self._keys()
            known[identity] = {"name": name, "digest": _digest(secret), "made": int(time.time()), "revoked": None}
            self._write(known)
        return f"{self.prefix}_{identity}_{secret}"

    def revoke(self, identity: str) -> None:
        """Refuse a key from now on.

        Raises:
            UserError: If there is none of this id.
        """
        with self._locked():
            known = self._keys()
            if identity not in known:
                raise UserError(f"{self.path} has no key {identity}")
            known[identity]["revoked"] = int(time.time())
            self._write(known)

    def owner(self, key: str) -> str | None:
        """The name that a key was issued to; None if it is no key, unknown or revoked."""
        found = KEY.fullmatch(key)
        entry = self._keys().get(found.group(1), {}) if found else {}
        expected = entry.get("digest", _digest(""))
        same = hmac.compare_digest(_digest(found.group(2) if found else ""), expected)
        return str(entry["name"]) if entry and same and entry["revoked"] is None else None

    def all(self) -> dict[str, dict[str, Any]]:
        """What is known of each key, without digests."""
        return {
            identity: {name: value for name, value in entry.items() if name != "digest"}
            for identity, entry in self._keys().items()
        }

    def _keys(self) -> dict[str, Any]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._read[0]:
            self._read = (version, read_json(self.path))
        return dict(self._read[1])

    def _write(self, known: dict[str, Any]) -> None:
        with atomic_path(self.path) as temporary:
            temporary.chmod(0o600)
            temporary.write_text(json_text(known), encoding="utf-8")

    def _locked(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path.with_name(f"{self.path.name}.lock"))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
