"""An authenticated JSON document: verified as bytes before anything parses it.

Source: DSSE (Dead Simple Signing Envelope) v1.0, protocol: the signature covers PAE(type, payload), so that neither the
type nor the length of a part can be confused. Departures: the signature is an HMAC-SHA256, since the course shares
keys; and the file has one spelling only, so that no byte of it can change unseen.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError
from shared.files import write_text
from shared.fingerprint import strict
from shared.fingerprint.keys import Keys, TeamKey
from shared.fingerprint.verdicts import BrokenError, Verdict

LARGEST = 2**24  # bytes; a manifest of fifty thousand tensors is below
VERSION = 2


@dataclass(frozen=True)
class Sealed:
    """A document whose MAC holds.

    Attributes:
        body: The parsed payload.
        signer: The key it was sealed with.
        version: The format's; 1 is read and no longer written.
        digest: SHA-256 of the file, in hexadecimal: what other documents cite.
    """

    body: dict[str, Any]
    signer: TeamKey
    version: int
    digest: str

    @property
    def verdict(self) -> Verdict:
        """OK, or UNTRUSTED_DEMO for the key that everybody knows."""
        return Verdict.UNTRUSTED_DEMO if self.signer.is_demo else Verdict.OK


def payload_type(kind: str, version: int = VERSION) -> str:
    """The versioned media type of a kind of document.

    >>> payload_type("checkpoint")
    'application/vnd.cc0c2.checkpoint.v2+json'
    """
    return f"application/vnd.cc0c2.{kind}.v{version}+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: each part preceded by its length.

    >>> pre_authentication_encoding("a/b", b"hello")
    b'DSSEv1 3 a/b 5 hello'
    """
    name = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def seal(kind: str, body: dict[str, Any], key: TeamKey) -> bytes:
    """The envelope's bytes; the subkey is the one of this kind."""
    payload = strict.dumps({**body, "team": key.team, "epoch": key.epoch})
    mac = hmac.digest(key.subkey(kind), pre_authentication_encoding(payload_type(kind), payload), "sha256")
    return _spell(payload_type(kind), payload, key.id, mac)


def write(path: Path, kind: str, body: dict[str, Any], key: TeamKey) -> str:
    """Seal `body` with the key's team and epoch, and write the envelope atomically. Returns the file's SHA-256.

    Raises:
        UserError: If it is larger than what is read again.
    """
    raw = seal(kind, body, key)
    if len(raw) > LARGEST:
        raise UserError(f"{path} would have {len(raw):,} bytes, {LARGEST:,} are allowed: seal fewer things at once")
    write_text(path, raw.decode())
    return hashlib.sha256(raw).hexdigest()


def read(path: Path, kind: str, keys: Keys, shape: strict.Shape = dict) -> Sealed:
    """Check the MAC of a file, then parse.

    Args:
        shape: That the body must have.

    Raises:
        BrokenError: MISSING, TAMPERED, WRONG_TEAM or UNKNOWN_EPOCH, with the reason.
    """
    sealed = unseal(strict.read_regular(path, LARGEST), kind, keys, path.name)
    strict.shaped(sealed.body, shape, path.name)
    return sealed


def unseal(raw: bytes, kind: str, keys: Keys, name: str) -> Sealed:
    """As `read`, for bytes that `name` stands for in the reasons."""
    try:
        envelope = strict.loads(raw, name)
        declared, payload = envelope["payloadType"], base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        mac, key_id = base64.b64decode(signature["sig"], validate=True), signature["keyid"]
    except (BrokenError, ValueError, KeyError, TypeError, binascii.Error):
        raise BrokenError(Verdict.TAMPERED, f"{name} is not an envelope") from None
    version = 1 if kind == "checkpoint" and declared == payload_type(kind, 1) else VERSION
    if declared != payload_type(kind, version):
        raise BrokenError(Verdict.TAMPERED, f"{name} is of type {declared!r}, not {payload_type(kind)!r}")
    signer = keys.find(key_id, version)
    subkey = signer.v1_subkey(kind) if version == 1 else signer.subkey(kind)
    expected = hmac.digest(subkey, pre_authentication_encoding(declared, payload), "sha256")
    if not hmac.compare_digest(mac, expected):
        raise BrokenError(Verdict.TAMPERED, f"{name} does not match its MAC")
    if version == VERSION and raw != _spell(declared, payload, key_id, mac):
        raise BrokenError(Verdict.TAMPERED, f"{name} says the same in other bytes: it was rewritten")
    body = strict.loads(payload, name)
    anonymous = version == 1 and signer.is_demo  # version 1 had no team in its key ids
    if not isinstance(body, dict) or (signer.spelled(body.get("team")) != signer.team and not anonymous):
        raise BrokenError(Verdict.WRONG_TEAM, f"{name} claims another team than {signer.team}, whose key sealed it")
    return Sealed(body, signer, version, hashlib.sha256(raw).hexdigest())


def _spell(declared: str, payload: bytes, key_id: str, mac: bytes) -> bytes:
    signature = {"keyid": key_id, "sig": base64.b64encode(mac).decode()}
    document = {"payloadType": declared, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}
    return strict.dumps(document) + b"\n"
