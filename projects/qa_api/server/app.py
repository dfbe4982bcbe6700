"""The application: /v1 with keys, and a page on which it can be tried.

app = create_app(service, settings)
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import Gauge

from projects.qa_api.server import schemas
from projects.qa_api.server.routes import Here, router
from projects.qa_api.server.service import Service
from projects.qa_api.server.settings import Settings
from shared.web import Web, WebSettings
from shared.web.documentation import add_documentation
from shared.web.keys import ApiKeys
from shared.web.limits import Limiter
from shared.web.pages import language_of
from shared.web.problems import RESPONSES, BusyError

PAGES = Path(__file__).parents[1] / "pages"
KEYS = "keys.json"


def keys_of(settings: Settings) -> ApiKeys:
    """The keys of a server's folder."""
    return ApiKeys(settings.data / KEYS, prefix="qa")


def create_app(service: Service, settings: Settings) -> FastAPI:
    """The application over a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="qa_api",
        version="1",
        description="Questions to your documents: an answer, a question back, or an honest “not in them”.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service, app.state.keys = service, keys_of(settings)
    app.state.limiter = Limiter(settings.rate, int(2 * settings.rate) + 1)
    limits = WebSettings(
        rate=10 * settings.rate, burst=int(20 * settings.rate) + 1, body={"": 65_536, "/v1/documents": settings.largest}
    )
    web = Web(title="qa_api", folder=PAGES, settings=limits)
    web.install(app)
    tenants = Gauge("tenants", "Tenants with documents", registry=web.registry)
    tenants.set_function(lambda: len(service.store.tenants()))
    mended = Gauge("indexes_mended", "Indexes that failed and were made again", registry=web.registry)
    mended.set_function(service.mended)
    app.include_router(router)
    add_health(app)
    add_pages(app, web)
    return app


def add_health(app: FastAPI) -> None:
    """Routes for whoever watches the server."""

    @app.get("/health", summary="Is the server up")
    def health() -> schemas.Health:
        return schemas.Health(status="ok")

    @app.get("/ready", summary="Does it take work", responses={503: RESPONSES[503]})
    def ready(here: Here) -> schemas.Ready:
        now = here.state()
        if not now.index:
            raise BusyError("the index does not answer", 5.0)
        told = schemas.Ready(status="degraded" if now.full or now.rebuilding else "ok", mended=now.mended)
        told.store, told.index = "full" if now.full else "ok", "rebuilding" if now.rebuilding else "ok"
        return told


def add_pages(app: FastAPI, web: Web) -> None:
    """A page to try it, and the document of its HTTP at /docs."""
    has_docs = add_documentation(app, web)

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        language = language_of(request)
        told = {"texts": web.pages.spoken(language, "app."), "language": language, "docs": has_docs}
        return web.page(request, "ask.html", given=told)
