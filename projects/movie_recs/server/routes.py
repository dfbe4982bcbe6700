"""The routes under /api: thin, over the service. Whoever changes something shows a cookie and a token.

The cookie says who it is, and no script reads it; the token follows from it and comes with the page, so that another
site's page, which makes the browser send the cookie, cannot send the token.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from projects.movie_recs.data.films import Film
from projects.movie_recs.data.titles import first_title
from projects.movie_recs.server import schemas
from projects.movie_recs.server.service import Listed, Movies
from shared.web.keys import ApiKeys
from shared.web.problems import RESPONSES

COOKIE, HEADER = "movie_recs", "X-CSRF-Token"
A_YEAR = 31_536_000  # seconds
REFUSED: dict[int | str, dict[str, Any]] = {
    401: {**RESPONSES[422], "description": "No profile, or no key"},
    403: {**RESPONSES[422], "description": "Not from this server's own page, or not this person's token"},
    404: {**RESPONSES[422], "description": "There is no such film"},
}


async def admitted(request: Request) -> AsyncIterator[None]:
    """Refuse before any thread is taken what would wait for too long."""
    with request.app.state.doors:
        yield


router = APIRouter(prefix="/api", responses=RESPONSES, dependencies=[Depends(admitted)])
_bearer = HTTPBearer(auto_error=False, description="A key that `python -m projects.movie_recs.server key NAME` gave")
_csrf = APIKeyHeader(name=HEADER, auto_error=False, description="From POST /api/session")
Id = Annotated[int, Path(ge=0, le=2**53)]
LEARNED = "by default what was learned on validation"
K = Annotated[int, Query(ge=1, le=100)]


def service(request: Request) -> Movies:
    """The application's service."""
    movies: Movies = request.app.state.movies
    return movies


Service = Annotated[Movies, Depends(service)]


def csrf_of(token: str) -> str:
    """The token that goes with a cookie: whoever knows one cannot tell the other."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def reader(request: Request, movies: Service) -> int | None:
    """Who asks; None without a profile."""
    token = request.cookies.get(COOKIE)
    return movies.store.person(token) if token else None


def writer(request: Request, movies: Service, given: Annotated[str | None, Depends(_csrf)]) -> int:
    """Who changes something; refused without a profile or without its token."""
    own_page(request)
    token = request.cookies.get(COOKIE, "")
    person = movies.store.person(token) if token else None
    if person is None:
        raise HTTPException(401, "begin a profile first: POST /api/session")
    if not hmac.compare_digest(csrf_of(token).encode(), (given or "").encode("utf-8", "surrogatepass")):
        raise HTTPException(403, f"the header {HEADER} is missing or not this profile's")
    return person


def own_page(request: Request) -> None:
    """Refuse a request that another site's page makes; programs say no origin."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "only pages of this server may change something")


def administrator(request: Request, given: Annotated[Any, Depends(_bearer)]) -> str:
    """Whose key was shown."""
    keys: ApiKeys = request.app.state.keys
    owner = keys.owner(given.credentials) if given else None
    if owner is None:
        raise HTTPException(401, "an administrator's key is needed", {"WWW-Authenticate": "Bearer"})
    return owner


Reader = Annotated[int | None, Depends(reader)]
Writer = Annotated[int, Depends(writer)]
Administrator = Annotated[str, Depends(administrator)]


def shown(film: Film) -> schemas.Film:
    """A film as it is sent."""
    told = film.as_dict()
    return schemas.Film(**{name: told[name] for name in schemas.Film.model_fields})


def listed(movies: Movies, each: Listed) -> schemas.Listed:
    """A film in a list as it is sent."""
    why = each.why
    title = first_title(movies.film(why.because).title) if why.because is not None else None
    reason = schemas.Why(
        because=why.because,
        title=title,
        share=round(why.share, 4),
        genres=list(why.genres),
        people=list(why.people),
        sentence=why.sentence,
    )
    return schemas.Listed(film=shown(each.place.film), score=round(each.place.score, 6), why=reason)


def there(movies: Movies, film: int) -> Film:
    """A film, or 404."""
    if film not in movies.engine.table.row:
        raise HTTPException(404, f"there is no film {film}")
    return movies.film(film)


# ---------------------------------------------------------------- profiles


@router.post("/session", summary="Begin a profile", responses=REFUSED)
def begin(request: Request, response: Response, movies: Service) -> schemas.Session:
    """A cookie that says who it is, and the token for changes; somebody who has a profile keeps it."""
    own_page(request)
    token = request.cookies.get(COOKIE, "")
    if not token or movies.store.person(token) is None:
        token = movies.begin_profile()
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, max_age=A_YEAR, httponly=True, samesite="strict", secure=secure)
    return schemas.Session(csrf=csrf_of(token))


@router.get("/profile", summary="Export everything that is kept", responses=REFUSED)
def export(movies: Service, person: Reader) -> schemas.Export:
    """Opinions and the log's lines of whoever asks."""
    if person is None:
        raise HTTPException(401, "there is no profile")
    return schemas.Export(**movies.store.export(person))


@router.delete("/profile", summary="Delete the profile", responses=REFUSED)
def forget(response: Response, movies: Service, person: Writer) -> schemas.Changed:
    """Opinions go, and the log's lines are nobody's."""
    movies.forget(person)
    response.delete_cookie(COOKIE)
    return schemas.Changed(changed=True)


# ---------------------------------------------------------------- lists


@router.get("/list", summary="Films for whoever asks", responses=REFUSED)
def recommend(
    movies: Service,
    person: Reader,
    k: K = 10,
    ratings: Annotated[
        float | None, Query(ge=0, le=10, description=f"Weight of people with like tastes; {LEARNED}")
    ] = None,
    text: Annotated[float | None, Query(ge=0, le=10, description=f"Weight of the texts; {LEARNED}")] = None,
    popular: Annotated[float | None, Query(ge=0, le=10, description=f"Weight of what most like; {LEARNED}")] = None,
    diversity: Annotated[float | None, Query(ge=0, le=1, description="λ of MMR: 1 is the order of relevance")] = None,
    wish: Annotated[str, Query(max_length=1000, description="Genres, years, films, and what it must not be")] = "",
) -> schemas.List:
    """Never what was seen or disliked; without likes these are popular films."""
    asked = {"ratings": ratings, "text": text, "popular": popular, "diversity": diversity}
    parts = replace(movies.engine.parts, **{name: each for name, each in asked.items() if each is not None})
    found = movies.lists(person, k, parts, wish)
    return schemas.List(
        personal=any(each.place.because is not None for each in found), films=[listed(movies, each) for each in found]
    )


@router.get("/questions", summary="Films to ask a new person about")
def questions(movies: Service, person: Reader) -> schemas.Films:
    """Chosen by what their answers tell; those that were answered are left out."""
    seen = movies.taste(person).seen
    return schemas.Films(films=[shown(movies.film(film)) for film in movies.questions if film not in seen])


@router.post("/search", summary="Films by a description")
def search(movies: Service, asked: schemas.Asked) -> schemas.Films:
    """Spanish or English; "like Alien but funny, not horror" is understood."""
    return schemas.Films(films=[shown(place.film) for place in movies.search(asked.text, asked.k)])


@router.get("/films/{film}", summary="A film", responses=REFUSED)
def film(movies: Service, film: Id) -> schemas.Film:
    """A film."""
    return shown(there(movies, film))


@router.get("/films/{film}/near", summary="Films with a text near to its", responses=REFUSED)
def near(movies: Service, film: Id, k: K = 10) -> schemas.Films:
    """Neighbours by text."""
    there(movies, film)
    return schemas.Films(films=[shown(place.film) for place in movies.near(film, k)])


# ---------------------------------------------------------------- feedback


@router.put("/ratings/{film}", summary="Rate a film", responses=REFUSED)
def rate(movies: Service, person: Writer, film: Id, given: schemas.Stars) -> schemas.Changed:
    """Twice is once: one opinion a person and film."""
    there(movies, film)
    return schemas.Changed(changed=movies.rate(person, film, given.stars), film=film)


@router.delete("/ratings/{film}", summary="Take back what was said of a film", responses=REFUSED)
def unrate(movies: Service, person: Writer, film: Id) -> schemas.Changed:
    """Whether anything had been said."""
    return schemas.Changed(changed=movies.unrate(person, film), film=film)


@router.put("/seen/{film}", summary="Say that a film was seen", responses=REFUSED)
def seen(movies: Service, person: Writer, film: Id) -> schemas.Changed:
    """It is in no list any more, and says nothing of taste."""
    there(movies, film)
    return schemas.Changed(changed=movies.rate(person, film, None), film=film)


@router.post("/undo", summary="Take the last change back", responses=REFUSED)
def undo(movies: Service, person: Writer) -> schemas.Changed:
    """One change each time, from the last one on."""
    film = movies.undo(person)
    return schemas.Changed(changed=film is not None, film=film)


# ---------------------------------------------------------------- the catalogue


@router.post("/films", summary="Add a film", status_code=201, responses=REFUSED)
def add(movies: Service, _: Administrator, given: schemas.NewFilm) -> schemas.Film:
    """It is in lists when this answers."""
    return shown(movies.add(given.title, given.year, given.genres, given.text))


@router.put("/films/{film}", summary="Change a film", responses=REFUSED)
def change(movies: Service, _: Administrator, film: Id, given: schemas.NewFilm) -> schemas.Film:
    """Its text is encoded again if it changed."""
    there(movies, film)
    return shown(movies.change(film, given.title, given.year, given.genres, given.text))


@router.delete("/films/{film}", summary="Remove a film", responses=REFUSED)
def remove(movies: Service, _: Administrator, film: Id) -> schemas.Changed:
    """It is in no list any more."""
    there(movies, film)
    movies.remove(film)
    return schemas.Changed(changed=True, film=film)
