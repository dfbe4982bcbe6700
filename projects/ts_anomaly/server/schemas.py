"""Bodies of requests and answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from projects.ts_anomaly.data.reading import LARGEST, LATEST

MOST_VALUES = 64  # of a point
MOST_POINTS = 11_000  # of a push, and of a series in an answer of Prometheus
Time = Annotated[float, Field(ge=-LATEST, le=LATEST, allow_inf_nan=False)]
Value = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class PointIn(BaseModel):
    """A point: when, and a value a channel; null is a gap."""

    model_config = ConfigDict(extra="forbid")

    time: Time = Field(description="Seconds since 1970")
    values: list[Value | None] = Field(min_length=1, max_length=MOST_VALUES)


class Points(BaseModel):
    """Points in the order of time."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"points": [{"time": 0, "values": [1.5]}, {"time": 60, "values": [None]}]}]},
    )

    points: list[PointIn] = Field(min_length=1, max_length=MOST_POINTS)


class Taken(BaseModel):
    """What became of points that were pushed: they are on disk."""

    accepted: int
    dropped: int = Field(description="Not newer than what was seen")
    alerts: int


class Threshold(BaseModel):
    """Surprise from which on to alarm; null leaves it to extreme value theory."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"threshold": 6.0}]})

    threshold: Annotated[FiniteFloat, Field(ge=0, le=1000)] | None


class InForce(BaseModel):
    """The threshold that is in force."""

    threshold: float | None


class Judged(BaseModel):
    """A point that was judged."""

    time: float
    step: int
    values: list[float | None]
    score: float | None
    alarm: bool


class AlertOut(BaseModel):
    """Something that was told."""

    kind: str
    time: float
    step: int
    score: float
    severity: str
    detail: str


class Summary(BaseModel):
    """A series in a list."""

    name: str
    points: int
    warming: int = Field(description="Points that are still missing before it is judged; 0 once it is")
    threshold: float | None
    automatic: bool
    open: bool = Field(description="Whether an event is going on")
    alerts: int


class Shown(Summary):
    """A series with its last points and alerts."""

    shown: list[Judged]
    told: list[AlertOut]
