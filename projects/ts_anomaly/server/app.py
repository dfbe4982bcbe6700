"""The application: HTTP and a page over the monitor.

app = create_app(detector, Settings())
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathParameter
from prometheus_client import Gauge
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from projects.ts_anomaly.data.reading import Reader, Row, read_prometheus
from projects.ts_anomaly.models.detectors import PatchTransformer
from projects.ts_anomaly.server import schemas
from projects.ts_anomaly.server.service import SHOWN, Demo, Monitor, Monitored
from projects.ts_anomaly.server.settings import Settings
from shared.errors import UserError
from shared.web import Web, WebSettings
from shared.web.pages import language_of
from shared.web.problems import RESPONSES, Problem

PAGES = Path(__file__).parents[1] / "pages"
LARGEST = 8_000_000  # bytes of a push
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such series"}}
UNREAD: dict[int | str, dict[str, Any]] = {415: {"model": Problem, "description": "The Content-Type must be text/csv"}}
Name = Annotated[str, PathParameter(min_length=1, max_length=200, examples=["cpu"])]


def create_app(detector: PatchTransformer, settings: Settings) -> FastAPI:
    """The application.

    Args:
        detector: Whose weights judge all series.
        settings: What the server was told.
    """
    monitor = Monitor(detector, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        demo = Demo(monitor) if settings.demo else None
        if demo:
            demo.start()
        try:
            yield
        finally:
            if demo:
                demo.stop()
            await run_in_threadpool(monitor.close)

    app = FastAPI(
        title="ts_anomaly",
        version="1",
        description="Anomalies of series as their points come: push points, read scores and alerts, move thresholds.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.monitor = monitor
    bodies = {"": 65_536, "/v1/": LARGEST}
    web = Web(
        title="ts_anomaly",
        folder=PAGES,
        settings=WebSettings(body=bodies, rate=settings.rate, burst=max(1, int(10 * settings.rate))),
    )
    web.install(app)
    add_metrics(web, monitor)
    add_routes(app, monitor)
    add_pages(app, web)
    return app


def add_metrics(web: Web, monitor: Monitor) -> None:
    """Numbers for Prometheus, counted when they are asked for."""
    for name, said, count in (
        ("anomaly_series", "Series that are watched", lambda: len(monitor.series)),
        ("anomaly_judged", "Points judged since the start", lambda: monitor.judged),
        ("anomaly_alerts", "Alerts told since the start", lambda: sum(each.told for each in monitor.series.values())),
        ("anomaly_open", "Series with an event going on", lambda: sum(map(_is_open, monitor.series.values()))),
    ):
        Gauge(name, said, registry=web.registry).set_function(count)


def add_routes(app: FastAPI, monitor: Monitor) -> None:
    """What programs use."""

    def found(name: str) -> Monitored:
        if name not in monitor.series:
            raise HTTPException(404, "there is no such series")
        return monitor.series[name]

    @app.get("/health", responses=RESPONSES)
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/ready", responses=RESPONSES)
    async def ready() -> dict[str, int]:
        """Whether points are taken: the detector is loaded, and what was on disk has been read."""
        return {"series": len(monitor.series)}

    @app.get("/v1/series", responses=RESPONSES)
    async def every() -> list[schemas.Summary]:
        """All series."""
        return [schemas.Summary(**summary(each, monitor)) for each in list(monitor.series.values())]

    @app.get("/v1/series/{name}", responses={**RESPONSES, **MISSING})
    async def one(
        name: Name,
        since: Annotated[int, Query(ge=-1, le=2**53, description="Points behind this step")] = -1,
        limit: Annotated[int, Query(ge=1, le=SHOWN)] = 600,
    ) -> schemas.Shown:
        """A series with its last points and alerts."""
        each = found(name)
        points = [point for point in list(each.points) if point.step > since][-limit:]
        shown = [
            schemas.Judged(**{**vars(p), "values": list(map(_null, p.values)), "score": _null(p.score)}) for p in points
        ]
        told = [schemas.AlertOut(**vars(alert)) for alert in list(each.alerts)[-50:]]
        return schemas.Shown(**summary(each, monitor), shown=shown, told=told)

    @app.post("/v1/series/{name}/points", responses=RESPONSES)
    async def push(name: Name, body: schemas.Points) -> schemas.Taken:
        """Points, judged in turn; they are on disk when this answers."""
        rows = [Row(p.time, tuple(math.nan if v is None else v for v in p.values)) for p in body.points]
        return schemas.Taken(**await run_in_threadpool(monitor.push, name, rows))

    @app.post(
        "/v1/series/{name}/csv",
        responses={**RESPONSES, **UNREAD},
        openapi_extra={
            "requestBody": {"content": {"text/csv": {"schema": {"type": "string"}, "example": "t,v\n0,1\n"}}}
        },
    )
    async def push_csv(name: Name, request: Request) -> schemas.Taken:
        """A table with a heading; decimal commas and semicolons are read too."""
        if not request.headers.get("content-type", "").startswith("text/csv"):
            raise HTTPException(415, "the Content-Type must be text/csv")
        text = (await request.body()).decode("utf-8-sig", "replace")
        rows = await run_in_threadpool(lambda: list(Reader("body").rows(text.splitlines())))
        if not rows:
            raise UserError("body: holds no rows")
        return schemas.Taken(**await run_in_threadpool(monitor.push, name, rows))

    @app.post(
        "/v1/prometheus",
        responses=RESPONSES,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": {"type": "object"}, "example": EXAMPLE}}}
        },
    )
    async def prometheus(request: Request) -> dict[str, schemas.Taken]:
        """The answer of a range query; each of its series is one here."""
        told = read_prometheus(await request.body(), "body")
        return {name: schemas.Taken(**await run_in_threadpool(monitor.push, name, rows)) for name, rows in told}

    @app.put("/v1/series/{name}/threshold", responses={**RESPONSES, **MISSING})
    async def threshold(name: Name, body: schemas.Threshold) -> schemas.InForce:
        """Move a threshold by hand, or leave it to extreme value theory again (null)."""
        found(name)
        return schemas.InForce(threshold=_null(await run_in_threadpool(monitor.set_threshold, name, body.threshold)))


EXAMPLE = {
    "status": "success",
    "data": {"resultType": "matrix", "result": [{"metric": {"__name__": "cpu"}, "values": [[0, "0.5"], [60, "0.6"]]}]},
}


def add_pages(app: FastAPI, web: Web) -> None:
    """What people see."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> HTMLResponse:
        return web.page(request, "watch.html", texts=web.pages.spoken(language_of(request), "watch."))

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)


def summary(one: Monitored, monitor: Monitor) -> dict[str, Any]:
    """What a list says of a series."""
    watch = one.watch
    return {
        "name": one.name,
        "points": watch.step + 1 if watch else len(one.rows),
        "warming": 0 if watch else monitor.settings.warm - len(one.rows),
        "threshold": _null(watch.level) if watch else None,
        "automatic": watch is None or watch.config.threshold is None,
        "open": _is_open(one),
        "alerts": one.told,
    }


def _is_open(one: Monitored) -> bool:
    return one.watch is not None and one.watch.events.current is not None


def _null(value: float) -> float | None:
    return value if math.isfinite(value) else None
