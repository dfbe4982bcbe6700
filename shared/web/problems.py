"""What a refused or failed request gets: problem+json for programs, a page for people, the request's id for both.

Source: RFC 9457, "Problem Details for HTTP APIs".
"""

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.errors import UserError

MEDIA_TYPE = "application/problem+json"
MOST_REASONS = 20


class Reason(BaseModel):
    """One thing in a request that does not fit."""

    where: str
    what: str


class Problem(BaseModel):
    """Body of every answer from 400 on."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    request_id: str = ""
    reasons: list[Reason] = []


RESPONSES: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "The body is too large"},
    422: {"model": Problem, "description": "The request does not fit, and why"},
    429: {"model": Problem, "description": "Too many requests of this client; Retry-After says when to come back"},
    503: {"model": Problem, "description": "Too many requests wait; Retry-After says when to come back"},
}
"""For FastAPI's `responses=`: what any route may answer beside its own."""


class BusyError(Exception):
    """The service has no room: 503 with Retry-After.

    Attributes:
        seconds: After which to ask again.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


KINDS = (
    RequestValidationError,
    HTTPException,
    UserError,
    BusyError,
    UnicodeEncodeError,
    PydanticSerializationError,
)
"""What a handler turns into an answer; all else is a failure of ours, which `front.Envelope` logs."""

Page = Callable[[Request, Problem], Response]
"""Makes the page that people see of a problem."""


def answer(request: Request, problem: Problem, page: Page | None, headers: dict[str, str] | None = None) -> Response:
    """The problem as a page if the client is a browser that asks for one, else as problem+json."""
    problem = problem.model_copy(update={"request_id": request_id(request)})
    if page is not None and "text/html" in request.headers.get("accept", ""):
        shown = page(request, problem)
        shown.headers.update(headers or {})
        return shown
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)


def of_error(error: Exception) -> tuple[Problem, dict[str, str]]:
    """The problem that an exception is to its client, and headers of the answer."""
    if isinstance(error, RequestValidationError):
        reasons = [Reason(where=_path(each["loc"]), what=_plain(each["msg"])) for each in error.errors()[:MOST_REASONS]]
        return _problem(422, "the request does not fit", reasons), {}
    if isinstance(error, UserError):
        return _problem(422, _plain(error)), {}
    if isinstance(error, BusyError):
        return _problem(503, _plain(error)), {"Retry-After": str(max(1, math.ceil(error.seconds)))}
    if isinstance(error, UnicodeEncodeError) or _surrogate(error):  # on its way into an answer
        return _problem(422, "the request holds text that is no Unicode"), {}
    if isinstance(error, HTTPException):
        return _problem(error.status_code, _plain(error.detail)), dict(error.headers or {})
    return _problem(500, "the service failed; its log has this request's id"), {}


def request_id(request: Request) -> str:
    """The id that the answer's X-Request-ID header carries."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def _problem(status: int, detail: str, reasons: list[Reason] | None = None) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail="" if detail == title else detail, reasons=reasons or [])


def _surrogate(error: Exception) -> bool:
    """Whether half a surrogate pair is what an answer could not be written for."""
    return isinstance(error, PydanticSerializationError) and "surrogates not allowed" in str(error)


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(_plain(part) for part in location)


def _plain(value: object) -> str:
    """Text that JSON can hold: half a surrogate pair becomes a question mark."""
    return str(value).encode("utf-8", "replace").decode()
