"""Everything of shared/web on one application: `Web(...).install(app)`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from shared.web import logs, problems
from shared.web.front import Bodies, Envelope, Limits
from shared.web.limits import Limiter
from shared.web.pages import Pages

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
FREE = ("/static/", "/health", "/ready", "/metrics")  # not counted by the limit of requests


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """How much a client may send and ask.

    Attributes:
        body: Largest body in bytes, by the beginning of a path; "" is the rest.
        rate: Requests a second that a client may keep up.
        burst: Requests that it may send at once.
    """

    body: Mapping[str, int] = field(default_factory=lambda: {"": 65_536})
    rate: float = 5.0
    burst: int = 40


class Web:
    """Pages, limits, logs, metrics and errors of one service.

    Args:
        title: The service's name, on every page.
        folder: Its templates and texts (see `Pages`).
        settings: Limits.
    """

    def __init__(self, *, title: str, folder: Path, settings: WebSettings) -> None:
        self.title, self.settings = title, settings
        self.pages = Pages(folder)
        self.limiter = Limiter(settings.rate, settings.burst)
        self.registry = CollectorRegistry()
        self._requests = Counter("requests", "Answers by route and status", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )

    def install(self, app: FastAPI) -> None:
        """Put headers, ids, logs, limits, errors, static files and /metrics on an application."""
        logs.write_to()
        app.state.web = self
        for kind in problems.KINDS:
            app.add_exception_handler(kind, self._refused)
        for where, folder in self.pages.static.items():
            if folder.is_dir():
                app.mount(f"/static/{where}", Files(directory=folder), name=f"static-{where}")
        app.get("/metrics", include_in_schema=False)(self._metrics)
        # The last that is added is met first.
        app.add_middleware(Bodies, largest={"": 65_536, **self.settings.body})
        app.add_middleware(Limits, limiter=self.limiter, refuse=self.refuse, free=FREE)
        app.add_middleware(Envelope, observe=self._observe, page=self._error_page)

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of the service, in the language of the request."""
        return self.pages.page(request, template, status, title=self.title, **values)

    def refuse(self, request: Request, error: Exception) -> Response:
        """The answer to a request that ends in this error."""
        problem, headers = problems.of_error(error)
        return problems.answer(request, problem, self._error_page, headers)

    async def _refused(self, request: Request, error: Exception) -> Response:
        answer = self.refuse(request, error)
        if answer.status_code == 500:
            raise error  # ours after all, which the envelope logs
        return answer

    def _error_page(self, request: Request, problem: problems.Problem) -> Response:
        known = f"error.{problem.status}" in self.pages.texts
        return self.page(
            request, "error.html", problem.status, problem=problem, said=f"error.{problem.status if known else 'other'}"
        )

    def _observe(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    async def _metrics(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Files(StaticFiles):
    """Static files, kept by browsers for a year where the address names their content."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        """The file, with how long it may be kept."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        kept = "public, max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        response.headers["Cache-Control"] = kept
        return response
