"""Tokens of questions back: which question, of which key, until when, and which documents may be chosen.

A token is signed, and nothing is kept of it: it can be answered by any replica that has the secret. It is bound to the
key that asked, to the words of the question and to time; a changed one is none.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import UserError

SECRET_BYTES = 32
LONGEST = 4_000  # characters of a token


@dataclass(frozen=True)
class FollowUp:
    """What a token says."""

    question: str
    language: str
    options: tuple[str, ...]


class FollowUps:
    """Makes and reads tokens.

    Args:
        secret: At least 32 bytes.
        valid: Seconds.
        clock: Seconds since 1970, for tests.
    """

    def __init__(self, secret: bytes, valid: int, clock: Callable[[], float] = time.time) -> None:
        assert len(secret) >= SECRET_BYTES, "a short secret can be guessed"
        self._secret, self.valid, self._clock = secret, valid, clock

    def issue(self, owner: str, question: str, language: str, options: Sequence[str]) -> str:
        """A token for a key's owner."""
        until = int(self._clock()) + self.valid
        body = json.dumps([question, language, list(options), until], ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        return f"{_text(body)}.{_text(self._sign(owner, body))}"

    def read(self, owner: str, token: str) -> FollowUp | None:
        """What a token says; None if it is changed, another's, or over."""
        head, _, tail = token.partition(".")
        try:
            body, signed = _bytes(head), _bytes(tail)
        except ValueError:
            return None
        if len(token) > LONGEST or not hmac.compare_digest(signed, self._sign(owner, body)):
            return None
        question, language, options, until = json.loads(body.decode("utf-8", "surrogatepass"))
        return FollowUp(question, language, tuple(options)) if self._clock() <= until else None

    def _sign(self, owner: str, body: bytes) -> bytes:
        told = hashlib.sha256(owner.encode("utf-8", "surrogatepass")).digest() + body
        return hmac.new(self._secret, told, hashlib.sha256).digest()


def secret_of(folder: Path) -> bytes:
    """The server's secret, made the first time, in a file of mode 0600.

    Raises:
        UserError: If the file is shorter than a secret.
    """
    path = folder / "secret"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".secret-") as file:  # of mode 0600
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # another replica was first: its secret holds
                os.link(file.name, path)  # whole or not at all, whenever this process is killed
    kept = path.read_bytes()
    if len(kept) < SECRET_BYTES:
        raise UserError(f"{path}: is no secret; take it away, and a new one is made")
    return kept


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, ValueError):
        raise ValueError("no base64") from None
