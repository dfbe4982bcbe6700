"""The application: HTTP, pages and the WebSocket over one service.

app = create_app(backend, Settings())
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from argon2 import PasswordHasher
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from prometheus_client import Gauge
from starlette.routing import WebSocketRoute

from projects.ws_chat.backends.backend import Backend
from projects.ws_chat.protocol import SUBPROTOCOL
from projects.ws_chat.server.origin import is_own
from projects.ws_chat.server.routes import add_health, router, token_of
from projects.ws_chat.server.service import Chat
from projects.ws_chat.server.settings import Settings
from shared.web import Web, WebSettings
from shared.web.documentation import add_documentation
from shared.web.pages import language_of

PAGES = Path(__file__).parents[1] / "pages"


def create_app(backend: Backend, settings: Settings, hasher: PasswordHasher | None = None) -> FastAPI:
    """The application.

    Args:
        backend: Writes the answers.
        settings: What the server was told.
        hasher: Hashes passwords; a quick one for tests.
    """
    chat = Chat(backend, settings, hasher)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await chat.start()
        try:
            yield
        finally:
            await chat.close()

    app = FastAPI(
        title="ws_chat",
        version="1",
        description="Accounts, lists and files of a chat. What happens in conversations goes over the WebSocket /ws.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.chat = chat
    web = Web(title="ws_chat", folder=PAGES, settings=WebSettings(rate=settings.rate, burst=int(10 * settings.rate)))
    web.install(app)
    add_metrics(web, chat)
    app.include_router(router)
    add_health(app)
    add_pages(app, web, chat)
    add_documentation(app, web)

    async def socket(websocket: WebSocket) -> None:
        await speak(websocket, chat)

    # Starlette's route: FastAPI's own keeps what its dependencies left open as long as a socket is, some KiB each.
    app.router.routes.append(WebSocketRoute("/ws", socket))
    return app


async def speak(websocket: WebSocket, chat: Chat) -> None:
    """Let a page of this server in; all else is refused before the handshake ends.

    A token in the query string would stand in every proxy's log, so that no query is taken at all.
    """
    offered = websocket.scope.get("subprotocols", ())
    own = is_own(websocket.scope, chat.settings.own_origins)
    if not own or websocket.scope["query_string"] or SUBPROTOCOL not in offered or not chat.ready:
        await websocket.close(1008)
        return
    await chat.connections.serve(websocket, await chat.accounts.session(token_of(websocket)))


def add_metrics(web: Web, chat: Chat) -> None:
    """Numbers for Prometheus, counted when they are asked for."""
    for name, said, count in (
        ("chat_sockets", "Open sockets", lambda: len(chat.connections)),
        ("chat_writing", "Answers on their way", lambda: len(chat.hub.running)),
        ("chat_waiting", "Answers that wait", lambda: len(chat.hub.queue)),
        ("chat_tokens", "Tokens that the backend has computed", lambda: chat.backend.computed),
    ):
        Gauge(name, said, registry=web.registry).set_function(count)


def add_pages(app: FastAPI, web: Web, chat: Chat) -> None:
    """What people see."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        session = await chat.accounts.session(token_of(request))
        if session is None:
            return RedirectResponse("/login", 303)
        language = language_of(request)
        return web.page(request, "chat.html", account=session.account, texts=_texts(web, language, "chat."))

    @app.get("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        if await chat.accounts.session(token_of(request)) is not None:
            return RedirectResponse("/", 303)
        return web.page(request, "login.html", texts=_texts(web, language_of(request), "login."))

    @app.get("/offline", include_in_schema=False)
    async def offline(request: Request) -> Response:
        return web.page(request, "offline.html")

    @app.get("/sw.js", include_in_schema=False)
    async def worker() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return FileResponse(PAGES / "static" / "sw.js", media_type="text/javascript", headers=headers)

    @app.get("/manifest.webmanifest", include_in_schema=False)
    async def manifest(request: Request) -> Response:
        language = language_of(request)
        icons = [{"src": web.pages.file("app.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any"}]
        said = {"name": web.pages.say(language, "chat.name"), "short_name": "ws_chat", "lang": language}
        looks = {"display": "standalone", "background_color": "#15171b", "theme_color": "#15171b"}
        return JSONResponse(
            {**said, **looks, "start_url": "/", "scope": "/", "icons": icons}, media_type="application/manifest+json"
        )


def _texts(web: Web, language: str, start: str) -> dict[str, str]:
    """What a page's script says, with what the server may answer to a form."""
    return web.pages.spoken(language, start) | web.pages.spoken(language, "said.")
