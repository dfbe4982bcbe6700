"""ASGI middleware before every route: an id, security headers, a line of log, a limit of bytes, a limit of requests."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from logging import ERROR

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web import logs, problems
from shared.web.limits import Limiter

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
Observe = Callable[[str, int, float], None]


class Envelope:
    """Gives each request an id, each answer its headers, and the log and the metrics a line of it.

    Args:
        app: What is wrapped.
        observe: Told of each request: path of its route (a template, so that there are few), status (499 if the client
            left before one), seconds.
        page: Makes the page of an error that nobody caught.
    """

    def __init__(self, app: ASGIApp, *, observe: Observe, page: problems.Page | None) -> None:
        self._app, self._observe, self._page = app, observe, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), [499]
        identity = _identity(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = identity

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # whatever a route raises: its request gets a problem, and the log no content
            logs.line(ERROR, event="failed", id=identity, **logs.error_fields(error))
            if status[0] != 499:
                raise  # half an answer was sent: closing the connection is all that is left to say
            problem, headers = problems.of_error(error)
            await problems.answer(Request(scope), problem, self._page, headers)(scope, receive, sending)
        finally:
            self._note(scope, identity, status[0], time.perf_counter() - started)

    def _note(self, scope: Scope, identity: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        client = logs.client_digest(address_of(scope))
        ms = round(1000 * seconds, 1)
        logs.line(
            event="request", id=identity, method=scope["method"], route=route, status=status, ms=ms, client=client
        )
        self._observe(route, status, seconds)


class Bodies:
    """Refuses a body with more bytes than are taken, by its header or as soon as they have come.

    Args:
        app: What is wrapped.
        largest: Bytes by the beginning of a path; "" is the rest.
    """

    def __init__(self, app: ASGIApp, *, largest: Mapping[str, int]) -> None:
        self._app = app
        self._largest = sorted(largest.items(), key=lambda item: len(item[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = next(size for start, size in self._largest if scope["path"].startswith(start))
        too_large = HTTPException(413, f"the body has more than {most} bytes", {"Connection": "close"})
        announced = Headers(scope=scope).get("content-length", "0")
        taken = 0

        async def counting() -> Message:
            nonlocal taken
            if announced.isdecimal() and int(announced) > most:
                raise too_large
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise too_large
            return message

        await self._app(scope, counting, send)


class Limits:
    """429 with Retry-After for a client that asks too often; pages' files are free.

    Args:
        app: What is wrapped.
        limiter: Its buckets; a client is an address.
        refuse: Makes the answer of a problem.
    """

    def __init__(
        self, app: ASGIApp, *, limiter: Limiter, refuse: Callable[[Request, Exception], Response], free: tuple[str, ...]
    ) -> None:
        self._app, self._limiter, self._refuse, self._free = app, limiter, refuse, free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        wait = 0
        if scope["type"] == "http" and not scope["path"].startswith(self._free):
            wait = self._limiter.take(address_of(scope))
        if wait == 0:
            await self._app(scope, receive, send)
            return
        error = HTTPException(429, f"too many requests: come back in {wait} s", {"Retry-After": str(wait)})
        await self._refuse(Request(scope), error)(scope, receive, send)


def address_of(scope: Scope) -> str:
    """The client's address as the server saw it.

    X-Forwarded-For is not read: behind a proxy, uvicorn puts the address there from proxies that it was told to trust.
    """
    client = scope.get("client")
    return str(client[0]) if client else ""


def _identity(headers: Headers) -> str:
    """The client's own id if it is one, so that its log and ours can be joined; else a new one."""
    given = headers.get("x-request-id", "")
    return given if ID.fullmatch(given) else secrets.token_hex(8)
