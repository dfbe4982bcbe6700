"""Middleware before the routes: bodies that are too large or no UTF-8 are refused, and every answer is timed."""

import json
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from projects.onnx_serving.server.schemas import refusal

Observe = Callable[[str, int, float], None]


class Guard:
    """ASGI middleware.

    Args:
        app: The application that is guarded.
        largest: Largest body, in bytes.
        observe: Called after each request: path of the route, status (499 if the client left before one), seconds.
    """

    def __init__(self, app: ASGIApp, *, largest: int, observe: Observe) -> None:
        self._app, self._largest, self._observe = app, largest, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), [499]

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._checked(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # never the raw path: labels must be few
            self._observe(route, status[0], time.perf_counter() - started)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(receive)
        if body is None:
            await _refuse(send, 413, f"the body has more than {self._largest} bytes")
            return
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as error:
            await _refuse(send, 422, f"the body is no UTF-8 text (byte {error.start})")
            return
        replayed = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return replayed.pop() if replayed else await receive()

        await self._app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None if it is larger than is taken; no more than that is ever held."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self._largest:
                return None
        return b"".join(parts)


async def _refuse(send: Send, status: int, message: str) -> None:
    body = json.dumps(refusal(message, "body")).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def plain(value: Any) -> Any:
    """A location in a request as JSON can hold it: a name with half a surrogate pair is no text."""
    return value if isinstance(value, int) else str(value).encode("utf-8", "replace").decode()
