"""`make serve-onnx_serving`: load the exported graphs and serve them until SIGTERM or Ctrl-C."""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

import uvicorn

from projects.onnx_serving.server.app import create_app
from projects.onnx_serving.server.service import load
from projects.onnx_serving.server.settings import Settings, from_environment
from shared.errors import UserError, reported

STOPPING = {signal.SIGINT, signal.SIGTERM}


def listening(settings: Settings) -> socket.socket:
    """A socket at the address, taken before any model is loaded.

    Raises:
        UserError: If it is in use or not allowed.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which else holds each answer back for 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        opened.close()
        where = f"{settings.host}:{settings.port}"
        raise UserError(f"cannot listen on {where} ({error}): set ONNX_SERVING_PORT to a free one, or to 0") from None
    return opened


class Server(uvicorn.Server):
    """Listens to signals once it can stop in order, and says when it serves."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve; uvicorn has its handlers by now."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        await super().startup(sockets)
        print(self._ready, flush=True)


def serve(settings: Settings) -> None:
    """Serve until a signal; running requests get the time of grace, then connections are closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more when all is drained
    opened = listening(settings)
    try:
        app = create_app(load(settings), settings)
        host, port = opened.getsockname()[:2]
        ready = f"serving {settings.precision} graphs on http://{host}:{port} (Swagger UI: /docs)"
        # No access log: it would print the query string, and /metrics counts the same.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=settings.grace, lifespan="on"
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # an event loop that is only half there would end aloud
        Server(config, ready).run(sockets=[opened])
    finally:
        opened.close()


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        if arguments:
            raise UserError(
                f"{arguments[0]}: the server takes environment variables only, for example ONNX_SERVING_PORT=8080"
            )
        serve(from_environment(environment))


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
