"""The probe as a server, with a route that takes its time: `python -m tests.web.serve`."""

import asyncio
import os
from dataclasses import dataclass

from shared.errors import reported
from shared.web.launch import serve
from shared.web.settings import from_environment
from tests.web.probe import make


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"
    port: int = 8000


def slow_probe():
    app = make()

    @app.get("/slow")
    async def slow():
        print("slowly", flush=True)
        await asyncio.sleep(1)
        return "done"

    return app


if __name__ == "__main__":
    with reported():
        settings = from_environment(Settings, "PROBE_", os.environ)
        serve(slow_probe, host=settings.host, port=settings.port, said="a probe", grace=10)
