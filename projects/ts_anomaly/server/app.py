"""The application: HTTP and a page over the monitor.

app = create_app(detector, Settings())
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from prometheus_client import Gauge
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.server import routes
from projects.ts_anomaly.server.service import Demo, Monitor
from projects.ts_anomaly.server.settings import Settings
from shared.web import Web, WebSettings
from shared.web.pages import language_of

PAGES = Path(__file__).parents[1] / "pages"
LARGEST = 8_000_000  # bytes of a push


def create_app(detector: PatchTransformer, settings: Settings) -> FastAPI:
    """The application.

    Args:
        detector: Whose weights judge all series.
        settings: What the server was told.
    """
    monitor = Monitor(detector, settings)
    app = FastAPI(
        title="ts_anomaly",
        version="1",
        description="Anomalies of series as their points come: push points, read scores and alerts, move thresholds.",
        lifespan=_watching(monitor),
        docs_url=None,
        redoc_url=None,
    )
    app.state.monitor = monitor
    limits = WebSettings(body={"": 65_536, "/v1/": LARGEST}, rate=settings.rate, burst=max(1, int(10 * settings.rate)))
    web = Web(title="ts_anomaly", folder=PAGES, settings=limits)
    web.install(app)
    add_metrics(web, monitor)
    for router in (routes.health, routes.series, routes.pushes):
        app.include_router(router)
    add_pages(app, web)
    return app


def _watching(monitor: Monitor) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """While the server serves: the demonstration, if there is one; then all states are saved."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        demo = Demo(monitor) if monitor.settings.demo else None
        if demo:
            demo.start()
        try:
            yield
        finally:
            if demo:
                demo.stop()
            await run_in_threadpool(monitor.close)

    return lifespan


def add_metrics(web: Web, monitor: Monitor) -> None:
    """Numbers for Prometheus, counted when they are asked for."""
    for name, said, count in (
        ("anomaly_series", "Series that are watched", lambda: len(monitor.series)),
        ("anomaly_judged", "Points judged since the start", lambda: monitor.judged),
        ("anomaly_alerts", "Alerts told since the start", lambda: sum(each.told for each in monitor.all())),
        ("anomaly_open", "Series with an event going on", lambda: sum(each.open for each in monitor.all())),
    ):
        Gauge(name, said, registry=web.registry).set_function(count)


def add_pages(app: FastAPI, web: Web) -> None:
    """What people see."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> HTMLResponse:
        return web.page(request, "watch.html", texts=web.pages.spoken(language_of(request), "watch."))

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)
