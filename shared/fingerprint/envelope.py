"""An authenticated JSON document: verified as bytes before anything parses it.

Source: DSSE (Dead Simple Signing Envelope) v1.0, protocol: the signature covers PAE(type, payload), so that neither the
type nor the length of a part can be confused. Departure: the signature is an HMAC-SHA256, since the course shares keys.
"""

import base64
import binascii
import hmac
import json
from pathlib import Path
from typing import Any

from shared.files import write_json
from shared.fingerprint.keys import DEMO_KEY, TeamKey
from shared.fingerprint.verdicts import BrokenError, Verdict

LARGEST = 16 * 2**20  # bytes; a manifest of ten thousand files is far below


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: each part preceded by its length.

    >>> pre_authentication_encoding("a/b", b"hello")
    b'DSSEv1 3 a/b 5 hello'
    """
    name = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def write(path: Path, payload_type: str, body: dict[str, Any], key: TeamKey, purpose: str) -> None:
    """Seal `body` and write the envelope atomically."""
    payload = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    mac = hmac.digest(key.subkey(purpose), pre_authentication_encoding(payload_type, payload), "sha256")
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(mac).decode()}],
    }
    write_json(path, envelope)


def read(path: Path, payload_type: str, key: TeamKey, purpose: str) -> tuple[dict[str, Any], Verdict]:
    """Check the MAC, then parse. Returns the body and OK or UNTRUSTED_DEMO.

    Raises:
        BrokenError: TAMPERED, WRONG_TEAM (another key's) or MISSING, with the reason.
    """
    try:
        raw = path.read_bytes()[: LARGEST + 1]
    except FileNotFoundError:
        raise BrokenError(Verdict.MISSING, f"{path.name} is not there") from None
    try:
        envelope = json.loads(raw)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        mac, key_id = base64.b64decode(signature["sig"], validate=True), signature["keyid"]
        declared = envelope["payloadType"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BrokenError(Verdict.TAMPERED, f"{path.name} is not an envelope") from None
    if declared != payload_type:
        raise BrokenError(Verdict.TAMPERED, f"{path.name} is of type {declared!r}, not {payload_type!r}")
    signer = signing_key(key_id, key)
    expected = hmac.digest(signer.subkey(purpose), pre_authentication_encoding(payload_type, payload), "sha256")
    if not hmac.compare_digest(mac, expected):
        raise BrokenError(Verdict.TAMPERED, f"{path.name} does not match its MAC")
    return json.loads(payload), Verdict.UNTRUSTED_DEMO if signer.is_demo else Verdict.OK


def signing_key(key_id: str, key: TeamKey) -> TeamKey:
    """The key that `key_id` names: this team's or the demo key.

    Raises:
        BrokenError: WRONG_TEAM, if it is neither.
    """
    for candidate in (key, TeamKey("demo", DEMO_KEY)):
        if candidate.id == key_id:
            return candidate
    raise BrokenError(Verdict.WRONG_TEAM, f"signed with key {key_id}, not with {key.team}'s {key.id}")
