"""What goes over HTTP, with examples that work."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from projects.movie_recs.data.films import MOST_TEXT
from projects.movie_recs.preferences.wishes import LONGEST

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Genre = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]


class Film(BaseModel):
    """A film."""

    id: int
    title: str
    year: int
    genres: list[str]
    people: list[str]
    text: str


class Why(BaseModel):
    """Why a film is in a list; empty for one that is there for being popular."""

    because: int | None
    title: str | None
    share: float
    genres: list[str]
    people: list[str]
    sentence: str


class Listed(BaseModel):
    """A film in a list."""

    film: Film
    score: float
    why: Why


class List(BaseModel):
    """A list; `personal` says whether a like of this person is behind it."""

    personal: bool
    films: list[Listed]


class Films(BaseModel):
    """Films without reasons."""

    films: list[Film]


class Stars(BaseModel):
    """What somebody says of a film: half stars from 0.5 to 5."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"stars": 4.5}]})
    stars: Annotated[float, Field(ge=0.5, le=5, multiple_of=0.5)]


class Asked(BaseModel):
    """A search in somebody's own words."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "a shark attacks a beach", "k": 5}]}
    )
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)]
    k: Annotated[int, Field(ge=1, le=100)] = 10


class NewFilm(BaseModel):
    """A film that an administrator puts in."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"title": "A New Film", "year": 2024, "genres": ["Drama"], "text": "Two sisters sail."}]
        },
    )
    title: Title
    year: Annotated[int, Field(ge=0, le=2100)] = 0
    genres: Annotated[list[Genre], Field(max_length=20)] = []
    text: Annotated[str, StringConstraints(max_length=MOST_TEXT)] = ""


class Session(BaseModel):
    """A profile that was begun; the token that changes need stands in the header X-CSRF-Token of each."""

    csrf: str


class Changed(BaseModel):
    """Whether something is different now: a rating that is given twice changes nothing the second time."""

    changed: bool
    film: int | None = None


class Opinion(BaseModel):
    """What was said of a film; `stars` is null for "seen"."""

    film: int
    stars: float | None


class Line(BaseModel):
    """A line of the log."""

    seq: int
    kind: str
    film: int | None
    stars: float | None
    undone: int
    at: int


class Export(BaseModel):
    """Everything that is kept of somebody."""

    made: int | None
    opinions: list[Opinion]
    events: list[Line]


class Health(BaseModel):
    """How the service is."""

    status: str
    films: int
