"""What a frame asks and does not get: said to its page in an `error` frame, and no fault of the line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from projects.ws_chat.protocol import Code
from projects.ws_chat.store.interface import GoneError
from shared.web import logs


class RefusedError(Exception):
    """A frame is not taken.

    Attributes:
        code: For the page.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@contextmanager
def gone_refused() -> Iterator[None]:
    """What was deleted inside the block is unknown to its page."""
    try:
        yield
    except GoneError:
        raise RefusedError("unknown_conversation", "there is no such conversation") from None


@contextmanager
def failure_refused() -> Iterator[None]:
    """A change that the store cannot keep: with a full disk the same message would fail on each new connection."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        logs.line(logging.ERROR, event="not stored", **logs.error_fields(error))
        raise RefusedError("failed", "the server cannot keep it now: try again later") from None
