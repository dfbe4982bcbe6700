"""A small service on shared/web: a page, a route that echoes, one that fails, one that is busy."""

from pathlib import Path

from fastapi import FastAPI, Request
from pydantic import BaseModel

from shared.web import Web, WebSettings
from shared.web.problems import BusyError

SECRET = "words that no log may hold"


class Text(BaseModel):
    text: str
    times: int = 1


def make(**settings) -> FastAPI:
    web = Web(title="Probe", folder=Path(__file__).parent / "pages", settings=WebSettings(**settings))
    app = FastAPI(docs_url=None, redoc_url=None)
    web.install(app)

    @app.get("/")
    async def index(request: Request, name: str = "you"):
        return web.page(request, "index.html", name=name)

    @app.post("/echo/{kind}")
    async def echo(kind: str, body: Text) -> Text:
        return body

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.get("/fails")
    async def fails():
        raise RuntimeError(SECRET)

    @app.get("/busy")
    async def busy():
        raise BusyError("three wait already", 2.1)

    return app
