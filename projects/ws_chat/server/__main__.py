"""`make serve-ws_chat`: load the model and chat until SIGTERM or Ctrl-C."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from projects.ws_chat.protocol import LARGEST_FRAME
from projects.ws_chat.server.app import create_app
from projects.ws_chat.server.patience import Impatient
from projects.ws_chat.server.service import load_backend, refuse_unusable
from projects.ws_chat.server.settings import PREFIX, Settings, as_help, as_variables
from shared.errors import reported
from shared.web.launch import serve
from shared.web.settings import from_environment


def options(settings: Settings) -> dict[str, Any]:
    """What uvicorn must know of a service with WebSockets."""
    proxies = [each.strip() for each in settings.proxies.split(",") if each.strip()]
    return {
        "http": Impatient,
        "ws_max_size": LARGEST_FRAME,
        "ws_per_message_deflate": False,  # it would cost some 50 KiB a socket, and tokens are too short to gain
        "ws_ping_interval": None,  # the protocol has its own, which a page's script must answer
        "proxy_headers": bool(proxies),
        "forwarded_allow_ips": proxies,
    }


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Serve as the environment and the command line say; what a person got wrong ends in one line."""
    with reported():
        if {"-h", "--help"} & set(arguments):
            sys.stdout.write(as_help())
            return
        given = {**environment, **as_variables(arguments)}
        settings = from_environment(Settings, PREFIX, given)
        if settings.replicas > 1:
            from projects.ws_chat.server.cluster import serve_replicas

            serve_replicas(settings, given)
            return

        def make() -> Any:
            refuse_unusable(settings)
            return create_app(load_backend(settings), settings)

        serve(
            make,
            host=settings.host,
            port=settings.port,
            said="chat",
            grace=5,
            **options(settings),
        )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
