"""The application: pages and /api over one service.

app = create_app(movies, Settings())
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from prometheus_client import Gauge

from projects.movie_recs.data.films import Film
from projects.movie_recs.server import schemas
from projects.movie_recs.server.gate import Doors
from projects.movie_recs.server.routes import COOKIE, Reader, Service, csrf_of, router, shown, there
from projects.movie_recs.server.service import Movies
from projects.movie_recs.server.settings import Settings
from shared.web import Web, WebSettings
from shared.web.documentation import add_documentation
from shared.web.keys import ApiKeys
from shared.web.pages import language_of
from shared.web.problems import RESPONSES, BusyError

PAGES = Path(__file__).parents[1] / "pages"
KEYS = "keys.json"


def create_app(movies: Movies, settings: Settings) -> FastAPI:
    """The application over a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        movies.close()

    app = FastAPI(
        title="movie_recs",
        version="1",
        description="Films for somebody, from what he likes and from their texts; a catalogue that changes.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.movies, app.state.keys = movies, ApiKeys(settings.data / KEYS, prefix="movies")
    app.state.doors = Doors(settings.at_once + settings.waiting)
    web = Web(
        title="movie_recs", folder=PAGES, settings=WebSettings(rate=settings.rate, burst=int(10 * settings.rate) + 1)
    )
    web.install(app)

    @app.exception_handler(sqlite3.OperationalError)
    async def not_kept(request: Request, error: Exception) -> Response:
        """A full disk, or a store that another process holds: nothing was changed, and it may pass."""
        return web.refuse(request, BusyError(f"the store takes no changes now ({error})", 60))

    for name, said, count in (
        ("films", "Films in the catalogue", lambda: len(movies.engine.table.row)),
        ("profiles", "Profiles in the store", movies.store.people),
    ):
        Gauge(name, said, registry=web.registry).set_function(count)
    app.include_router(router)
    add_health(app)
    add_pages(app, web)
    add_documentation(app, web)
    return app


def add_health(app: FastAPI) -> None:
    """Routes for whoever watches the server."""

    @app.get("/health", summary="Is the server up")
    def health(movies: Service) -> schemas.Health:
        return schemas.Health(status="ok", films=len(movies.engine.table.row))

    @app.get("/ready", summary="Does it take work", responses={503: RESPONSES[503]})
    def ready(movies: Service) -> schemas.Health:
        movies.store.people()  # the disk answers
        return schemas.Health(status="ok", films=len(movies.engine.table.row))


def add_pages(app: FastAPI, web: Web) -> None:
    """What people see: their lists, a film, their profile, the administrator's page."""

    def page(request: Request, template: str, **values: Any) -> Response:
        token = request.cookies.get(COOKIE, "")
        known = bool(token) and request.app.state.movies.store.person(token) is not None
        texts = web.pages.spoken(language_of(request), "app.")
        given = {"csrf": csrf_of(token) if known else "", "texts": texts, "language": language_of(request)}
        return web.page(request, template, given=given, **values)

    def named(request: Request, film: Film) -> schemas.Film:
        """A film whose genres are in the page's language; one that somebody made up stays as it is."""
        texts = web.pages.spoken(language_of(request), "app.genre_")
        return shown(film).model_copy(update={"genres": [texts.get(f"app.genre_{each}", each) for each in film.genres]})

    @app.get("/", include_in_schema=False)
    def home(request: Request) -> Response:
        return page(request, "home.html", parts=request.app.state.movies.engine.parts)

    @app.get("/film/{film}", include_in_schema=False)
    def film(request: Request, movies: Service, film: Annotated[int, PathParameter(ge=0, le=2**53)]) -> Response:
        found = named(request, there(movies, film))
        near = [named(request, each.film) for each in movies.near(film, 6)]
        return page(request, "film.html", film=found, near=near)

    @app.get("/profile", include_in_schema=False)
    def profile(request: Request, movies: Service, person: Reader) -> Response:
        groups = movies.interests(person) if person is not None else []
        opinions = movies.store.opinions(person) if person is not None else []
        known = movies.engine.table.row
        told = [(named(request, movies.film(each.film)), each.stars) for each in opinions if each.film in known]
        return page(request, "profile.html", groups=groups, opinions=told)

    @app.get("/admin", include_in_schema=False)
    def admin(request: Request) -> Response:
        return page(request, "admin.html")
