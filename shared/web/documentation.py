"""Swagger UI at /docs, from files on this machine and not from a CDN."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from shared.web.application import Web


def add_documentation(app: FastAPI, web: Web) -> bool:
    """Put /docs on an application that has `web`. Returns whether it is there.

    The files are those of the package fastapi-offline, which is not imported; without it there is /openapi.json alone.
    """
    found = find_spec("fastapi_offline")
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    if folder is None or not (folder / "swagger-ui-bundle.js").is_file():
        return False
    app.mount("/docs/files", StaticFiles(directory=folder), name="docs")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return web.page(request, "docs.html")

    return True
