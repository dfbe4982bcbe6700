"""HTTP: thin handlers over the monitor; a router a concern: how the server is, what was judged, what comes."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from projects.ts_anomaly.data.reading import Reader, Row, read_prometheus
from projects.ts_anomaly.monitor.watch import Point
from projects.ts_anomaly.server import schemas
from projects.ts_anomaly.server.service import SHOWN, Monitor, Monitored
from shared.errors import UserError
from shared.web.problems import RESPONSES, Problem

TOLD = 50  # alerts of an answer
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such series"}}
UNREAD: dict[int | str, dict[str, Any]] = {415: {"model": Problem, "description": "The Content-Type must be text/csv"}}
ANSWER = {
    "status": "success",
    "data": {"resultType": "matrix", "result": [{"metric": {"__name__": "cpu"}, "values": [[0, "0.5"], [60, "0.6"]]}]},
}


def _body(media: str, kind: str, example: object) -> dict[str, Any]:
    """What the document says of a body that is read by hand."""
    return {"requestBody": {"content": {media: {"schema": {"type": kind}, "example": example}}}}


# ---------------------------------------------------------------- what is asked for


async def monitor_of(request: Request) -> Monitor:
    """The service."""
    monitor: Monitor = request.app.state.monitor
    return monitor


Name = Annotated[str, Path(min_length=1, max_length=1000, examples=["cpu"])]
MonitorOf = Annotated[Monitor, Depends(monitor_of)]


async def series_of(name: Name, monitor: MonitorOf) -> Monitored:
    """The series of the address, or 404."""
    if name not in monitor.series:
        raise HTTPException(404, "there is no such series")
    return monitor.series[name]


SeriesOf = Annotated[Monitored, Depends(series_of)]

health = APIRouter(responses=RESPONSES)
series = APIRouter(prefix="/v1/series", responses=RESPONSES)
pushes = APIRouter(prefix="/v1", responses=RESPONSES)


# ---------------------------------------------------------------- how it is


@health.get("/health")
async def up() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@health.get("/ready")
async def ready(monitor: MonitorOf) -> dict[str, int]:
    """Whether points are taken: the detector is loaded, and what was on disk has been read."""
    return {"series": len(monitor.series)}


# ---------------------------------------------------------------- what was judged


@series.get("")
async def every(monitor: MonitorOf) -> list[schemas.Summary]:
    """All series."""
    return [schemas.Summary(**monitor.summary(each)) for each in list(monitor.series.values())]


@series.get("/{name:path}", responses=MISSING)
async def one(
    found: SeriesOf,
    monitor: MonitorOf,
    since: Annotated[int, Query(ge=-1, le=2**53, description="Points behind this step")] = -1,
    limit: Annotated[int, Query(ge=1, le=SHOWN)] = 600,
) -> schemas.Shown:
    """A series with its last points and alerts."""
    shown = [_judged(point) for point in list(found.points) if point.step > since][-limit:]
    told = [schemas.AlertOut(**vars(alert)) for alert in list(found.alerts)[-TOLD:]]
    return schemas.Shown(**monitor.summary(found), shown=shown, told=told)


@series.put("/{name:path}/threshold", responses=MISSING)
async def threshold(found: SeriesOf, body: schemas.Threshold, monitor: MonitorOf) -> schemas.InForce:
    """Move a threshold by hand, or leave it to extreme value theory again (null)."""
    level = await run_in_threadpool(monitor.set_threshold, found.name, body.threshold)
    return schemas.InForce(threshold=level if math.isfinite(level) else None)


# ---------------------------------------------------------------- what comes


@pushes.post("/series/{name:path}/points")
async def push(name: Name, body: schemas.Points, monitor: MonitorOf) -> schemas.Taken:
    """Points, judged in turn; they are on disk when this answers."""
    rows = [Row(p.time, tuple(math.nan if v is None else v for v in p.values)) for p in body.points]
    return await _taken(monitor, name, rows)


@pushes.post("/series/{name:path}/csv", responses=UNREAD, openapi_extra=_body("text/csv", "string", "t,v\n0,1\n"))
async def push_csv(name: Name, request: Request, monitor: MonitorOf) -> schemas.Taken:
    """A table with a heading; decimal commas and semicolons are read too."""
    if not request.headers.get("content-type", "").startswith("text/csv"):
        raise HTTPException(415, "the Content-Type must be text/csv")
    return await _taken(monitor, name, await run_in_threadpool(_table, await request.body()))


@pushes.post("/prometheus", openapi_extra=_body("application/json", "object", ANSWER))
async def push_prometheus(request: Request, monitor: MonitorOf) -> dict[str, schemas.Taken]:
    """The answer of a range query; each of its series is one here."""
    told = await run_in_threadpool(read_prometheus, await request.body(), "body")
    return {name: await _taken(monitor, name, rows) for name, rows in told}


# ---------------------------------------------------------------- within


async def _taken(monitor: Monitor, name: str, rows: list[Row]) -> schemas.Taken:
    """What pydantic bounds in JSON is bounded in the other bodies too: others wait while a push is judged."""
    if len(rows) > schemas.MOST_POINTS or max((len(row.values) for row in rows), default=0) > schemas.MOST_VALUES:
        raise UserError(
            f"a push has at most {schemas.MOST_POINTS} points of at most {schemas.MOST_VALUES} values: push in parts"
        )
    return schemas.Taken(**await run_in_threadpool(monitor.push, name, rows))


def _table(body: bytes) -> list[Row]:
    rows = list(Reader("body").rows(body.decode("utf-8-sig", "replace").splitlines()))
    if not rows:
        raise UserError("body: holds no rows")
    return rows


def _judged(point: Point) -> schemas.Judged:
    """As JSON can hold it: a gap is null."""
    numbers: Iterator[float | None] = (v if math.isfinite(v) else None for v in (point.score, *point.values))
    score, *values = numbers
    return schemas.Judged(time=point.time, step=point.step, values=values, score=score, alarm=point.alarm)
