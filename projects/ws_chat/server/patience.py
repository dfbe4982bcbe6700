"""Connections that send a request drop by drop, or take an answer so, are cut off.

uvicorn waits for ever for the rest of a request (slow loris); a proxy in front would not.
"""

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN = 10.0  # seconds from its first byte to its last, at least; twice that at most
TAKEN_WITHIN = 30_000  # milliseconds that sent bytes may lie unread at the other side


class Impatient(H11Protocol):
    """uvicorn's HTTP, with an end to waiting."""

    _late: asyncio.TimerHandle | None = None
    _seen = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection was opened."""
        super().connection_made(transport)
        opened: Any = transport.get_extra_info("socket")
        if opened is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKEN_WITHIN)
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """It was closed."""
        self._stop_looking()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on it is a WebSocket, whose pings look after it."""
        self._stop_looking()
        super().handle_websocket_upgrade(event)

    def _look_later(self) -> None:
        self._late = self.loop.call_later(REQUEST_WITHIN, self._look)

    def _stop_looking(self) -> None:
        if self._late is not None:
            self._late.cancel()

    def _look(self) -> None:
        """Whether half a request has come, as it had at the last look."""
        begun = self.conn.their_state is h11.IDLE and (self.cycle is None or bool(self.conn.trailing_data[0]))
        half = begun or self.conn.their_state is h11.SEND_BODY
        if half and (self._seen or self.cycle is None):
            self.transport.abort()
            return
        self._seen = half
        self._look_later()
