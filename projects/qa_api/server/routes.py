"""The routes under /v1: thin, over the service. Every one needs a key, whose tenant decides what there is."""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer

from projects.qa_api import answers
from projects.qa_api.data import documents
from projects.qa_api.index.store import ConflictError, FullError, Kept
from projects.qa_api.server import schemas
from projects.qa_api.server.people import Caller, Scope, caller_of
from projects.qa_api.server.service import Service
from shared.errors import UserError
from shared.web.keys import ApiKeys
from shared.web.limits import Limiter
from shared.web.problems import RESPONSES, BusyError, of_error, request_id

BEGINNING = 200  # characters of a hit
REFUSED: dict[int | str, dict[str, Any]] = {
    401: {**RESPONSES[422], "description": "No key, or none that is known"},
    403: {**RESPONSES[422], "description": "The key's scope is too small"},
    404: {**RESPONSES[422], "description": "There is no such document"},
    409: {**RESPONSES[422], "description": "The tenant is full, or a document of this id is there"},
    412: {**RESPONSES[422], "description": "The document has another ETag by now"},
    507: {**RESPONSES[422], "description": "The disk is full: nothing was changed, and questions are answered"},
}
router = APIRouter(prefix="/v1", responses={**RESPONSES, **{code: REFUSED[code] for code in (401, 403)}})
_bearer = HTTPBearer(auto_error=False, description="A key that `python -m projects.qa_api.server key …` gave")
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$", description="Of a document", examples=["sun"])]
IfMatch = Annotated[str | None, Header(max_length=100, description="ETag that the document must have, or *")]
IfNone = Annotated[str | None, Header(max_length=100, description="*: only if there is none of this id")]


def service(request: Request) -> Service:
    """The application's service."""
    found: Service = request.app.state.service
    return found


def caller(request: Request, given: Annotated[Any, Depends(_bearer)]) -> Caller:
    """Who asks; 401 without a key that is known, 429 for one that is used too often."""
    keys: ApiKeys = request.app.state.keys
    found = caller_of(keys, given.credentials if given else "")
    if found is None:
        raise HTTPException(401, "a key is needed", {"WWW-Authenticate": "Bearer"})
    limiter: Limiter = request.app.state.limiter
    if wait := limiter.take(found.owner):
        raise HTTPException(429, f"too many requests of this key: come back in {wait} s", {"Retry-After": str(wait)})
    return found


def needs(scope: Scope) -> Any:
    """A caller whose key has a scope; 403 for others."""

    def allowed(found: Annotated[Caller, Depends(caller)]) -> Caller:
        if not found.may(scope):
            raise HTTPException(403, f"the key may not {scope}")
        return found

    return Depends(allowed)


@contextmanager
def refused() -> Iterator[None]:
    """What a change may be refused for, as HTTP says it."""
    try:
        yield
    except ConflictError as error:
        raise HTTPException(412, str(error)) from None
    except FullError as error:
        raise HTTPException(507, str(error)) from None
    except UserError as error:
        raise HTTPException(409, str(error)) from None


Here = Annotated[Service, Depends(service)]
Reads = Annotated[Caller, needs("read")]
Writes = Annotated[Caller, needs("write")]
Rules = Annotated[Caller, needs("admin")]


# ---------------------------------------------------------------- questions


@router.post("/ask", summary="Answer a question", responses={404: REFUSED[404]})
def ask(here: Here, who: Reads, asked: schemas.Question) -> schemas.Answer:
    """An answer with its place in a document, "not in them", or a question back with a token."""
    return answered(here, who, asked)


@router.post("/ask/batch", summary="Answer several questions")
def ask_many(here: Here, who: Reads, asked: schemas.Questions) -> schemas.Answers:
    """Each by itself, in their order."""
    return schemas.Answers(answers=[answered(here, who, each) for each in asked.questions])


@router.post(
    "/ask/stream",
    summary="Answer several questions, as each is done",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def ask_as_done(here: Here, who: Reads, asked: schemas.Questions) -> StreamingResponse:
    """A line of JSON an answer, with how many are done of how many; of one that is refused, its status and why."""

    async def lines() -> AsyncIterator[str]:
        for number, each in enumerate(asked.questions, start=1):
            told: dict[str, Any] = {"done": number, "of": len(asked.questions)}
            try:
                told["answer"] = (await run_in_threadpool(answered, here, who, each)).model_dump()
            except (HTTPException, BusyError) as error:
                problem, _ = of_error(error)
                told["refused"] = {"status": problem.status, "detail": problem.detail}
            yield json.dumps(told) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def answered(here: Service, who: Caller, asked: schemas.Question) -> schemas.Answer:
    """The answer to a question or a follow-up."""
    question, language, only = asked.question, asked.language, None
    if asked.token is not None:
        told = here.followups.read(who.owner, asked.token)
        if told is None or asked.document not in told.options:
            raise HTTPException(
                422, "the token is over, or of another question, or the document is none of its options"
            )
        question, only = told.question, asked.document
        language = "es" if told.language == "es" else "en"
    return shown(here, who, question, here.ask(who, question, language, only))


def shown(here: Service, who: Caller, question: str, answer: answers.Answer) -> schemas.Answer:
    """An answer as it is sent."""
    told = schemas.Answer(id=answer_id(who, question, answer), kind=answer.kind, language=answer.language)
    told.suggestions = list(answer.suggestions)
    if answer.given:
        given = answer.given
        told.text, told.chance = given.text, round(given.chance, 4)
        told.source = schemas.Source(document=given.document.id, title=given.document.title, start=given.start,
                                     stop=given.stop, etag=given.document.digest)  # fmt: skip
    if answer.options:
        told.options = [
            schemas.Option(document=each.document.id, title=each.document.title, answer=each.answer)
            for each in answer.options
        ]
        chosen = [each.document.id for each in answer.options]
        told.token = here.followups.issue(who.owner, question, answer.language, chosen)
    return told


def answer_id(who: Caller, question: str, answer: answers.Answer) -> str:
    """What feedback names: it follows from the tenant, the question and the answer, and tells none of them."""
    told = [who.tenant, question, answer.kind, answer.given.text if answer.given else ""]
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@router.get("/search", summary="Documents for some words")
def search(
    here: Here,
    who: Reads,
    q: Annotated[str, Query(min_length=1, max_length=2_000, examples=["island in the Mediterranean"])],
    language: schemas.Language | None = None,
    k: Annotated[int, Query(ge=1, le=50)] = 10,
) -> schemas.Hits:
    """By words and by meaning."""
    return schemas.Hits(
        hits=[
            schemas.Hit(document=each.document.id, title=each.document.title, language=each.document.language,
                        score=round(each.score, 4), beginning=each.document.text[:BEGINNING])
            for each in here.search(who, q, language, k)
        ]
    )  # fmt: skip


@router.post("/feedback", summary="Say whether an answer was right", responses={507: REFUSED[507]})
def feedback(here: Here, who: Reads, told: schemas.Feedback) -> schemas.Done:
    """Said twice, the last counts."""
    with refused():
        here.store.feedback(who.tenant, told.answer, right=told.right)
    return schemas.Done(done=True)


# ---------------------------------------------------------------- documents


@router.put(
    "/documents/{identity}",
    summary="Put a document",
    responses={201: {"model": schemas.Kept, "description": "It is new"}, **{n: REFUSED[n] for n in (409, 412, 507)}},
)
def put(
    request: Request,
    here: Here,
    who: Writes,
    identity: Id,
    told: schemas.Document,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: IfNone = None,
) -> schemas.Kept:
    """Twice is once. The next answer knows it."""
    document = documents.Document(identity, told.title, told.text, told.language)
    with refused():
        kept, new = here.put(who, document, "" if if_none_match == "*" else _tag(if_match), request_id(request))
    response.status_code = 201 if new else 200
    return _kept(kept, response)


@router.get("/documents/{identity}", summary="A document", responses={404: REFUSED[404]})
def get(here: Here, who: Reads, identity: Id, response: Response) -> schemas.Kept:
    """With its ETag."""
    kept = here.store.get(who.tenant, identity)
    if kept is None:
        raise HTTPException(404, f"there is no document {identity}")
    return _kept(kept, response)


@router.delete(
    "/documents/{identity}",
    summary="Take a document out",
    responses={n: REFUSED[n] for n in (404, 412, 507)},
)
def remove(request: Request, here: Here, who: Writes, identity: Id, if_match: IfMatch = None) -> schemas.Done:
    """Out of the store, the index and every answer that was kept."""
    with refused():
        done = here.remove(who, identity, _tag(if_match), request_id(request))
    if not done:
        raise HTTPException(404, f"there is no document {identity}")
    return schemas.Done(done=True, documents=here.store.count(who.tenant))


@router.post("/documents", summary="Put many documents")
def put_many(request: Request, here: Here, who: Writes, told: schemas.Bulk) -> schemas.Items:
    """Each by itself and in order: one that is refused leaves the others, and of two of one id the last stays."""
    many = [documents.Document(each.id, each.title, each.text, each.language) for each in told.documents]
    return schemas.Items(items=[schemas.Item(**vars(each)) for each in here.put_many(who, many, request_id(request))])


# ---------------------------------------------------------------- the tenant


@router.get("/usage", summary="What the tenant has and used")
def usage(here: Here, who: Rules) -> schemas.Usage:
    """Counts, no contents."""
    right, wrong = here.store.feedback_of(who.tenant)
    used = here.usage.of(who.tenant)
    return schemas.Usage(documents=here.store.count(who.tenant), used=used, right=right, wrong=wrong)


@router.get("/audit", summary="Who changed what")
def audit(here: Here, who: Rules, most: Annotated[int, Query(ge=1, le=1000)] = 100) -> schemas.Audit:
    """The last changes, newest first: ids and ETags, no contents."""
    return schemas.Audit(acts=[schemas.Act(**vars(each)) for each in here.store.acts(who.tenant, most)])


@router.post("/index", summary="Make the index again", responses={507: REFUSED[507]})
def rebuild(request: Request, here: Here, who: Rules) -> schemas.Done:
    """From the store; answers go on meanwhile."""
    with refused():
        return schemas.Done(done=True, documents=here.rebuild(who, request_id(request)))


def _tag(given: str | None) -> str | None:
    return given if given in (None, "*") else given.removeprefix("W/").strip('"') or "-"


def _kept(kept: Kept, response: Response) -> schemas.Kept:
    response.headers["ETag"] = f'"{kept.etag}"'
    document = kept.document
    return schemas.Kept(id=document.id, title=document.title, text=document.text, language=document.language,
                        etag=kept.etag, changed=kept.changed)  # fmt: skip
