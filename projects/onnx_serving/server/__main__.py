"""`make serve-onnx_serving`: load the exported graphs and serve them until SIGTERM or Ctrl-C."""

import os
import sys
from collections.abc import Mapping, Sequence

from projects.onnx_serving.server.app import create_app
from projects.onnx_serving.server.service import load
from projects.onnx_serving.server.settings import PREFIX, Settings
from shared.errors import UserError, reported
from shared.web.launch import serve
from shared.web.settings import from_environment


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Serve as the environment says; what a person got wrong ends in one line."""
    with reported():
        if arguments:
            raise UserError(
                f"{arguments[0]}: the server takes environment variables only, for example ONNX_SERVING_PORT=8080"
            )
        settings = from_environment(Settings, PREFIX, environment)
        serve(
            lambda: create_app(load(settings), settings),
            host=settings.host,
            port=settings.port,
            said=f"serving {settings.precision} graphs (Swagger UI: /docs)",
            grace=settings.grace,
        )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
