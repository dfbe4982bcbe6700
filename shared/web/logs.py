"""One JSON object a line on standard error: what happened, never what was said.

A line holds only the fields named here. Addresses are hashed with a salt of the process: two requests of one client can
be told to be of one, and nobody can say whose they were.
"""

import hashlib
import json
import logging
import secrets
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

FIELDS = ("event", "id", "method", "route", "status", "ms", "client", "error", "at")
LOGGER = logging.getLogger("shared.web")
_SALT = secrets.token_bytes(16)


class JsonLines(logging.Formatter):
    """The record's fields as JSON, with the time in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)), "level": record.levelname}
        return json.dumps(fields | getattr(record, "fields", {"event": record.getMessage()}))


def write_to(stream: TextIO | None = None) -> None:
    """Send the lines to a stream, by default standard error; a second call takes the first one's place."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def line(level: int = logging.INFO, **fields: object) -> None:
    """Write a line.

    Raises:
        ValueError: If a field is not one of FIELDS: content has no name here.
    """
    if unknown := fields.keys() - set(FIELDS):
        raise ValueError(f"no field of a log line: {', '.join(sorted(unknown))}")
    LOGGER.log(level, fields.get("event", ""), extra={"fields": fields})


def client_digest(address: str) -> str:
    """Eight hexadecimal digits for an address, others in each process."""
    return hashlib.blake2b(address.encode(), key=_SALT, digest_size=4).hexdigest()


def error_fields(error: BaseException) -> dict[str, object]:
    """Kind and places of an error, without its message, which may quote what somebody sent."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {"error": type(error).__name__, "at": [f"{Path(each.filename).name}:{each.lineno}" for each in frames]}
