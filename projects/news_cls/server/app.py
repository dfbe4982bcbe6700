"""The routes: thin handlers over the service.

app = create_app(Service(classifier, memory, settings))
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Query, Request, status
from fastapi import Path as InPath
from fastapi.responses import FileResponse, HTMLResponse
from prometheus_client import Gauge
from starlette.exceptions import HTTPException

from projects.news_cls.classifier import Answer
from projects.news_cls.server.files import Uploaded
from projects.news_cls.server.schemas import (
    BatchRequest,
    BatchResponse,
    ClassifyRequest,
    ClassifyResponse,
    Decision,
    ExplainRequest,
    ExplainResponse,
    FeedbackRequest,
    FeedbackResponse,
    FileState,
    Health,
    TopicProbability,
    UpdateResponse,
    VersionsResponse,
    Word,
)
from projects.news_cls.server.service import Service
from shared.web import Web, WebSettings
from shared.web.documentation import add_documentation
from shared.web.pages import language_of
from shared.web.problems import RESPONSES, Problem

PAGES = Path(__file__).parents[1] / "pages"
BODIES = {"": 262_144, "/classify": 2_500_000, "/explain": 2_500_000, "/feedback": 2_500_000, "/files": 25_000_000}
REFUSED: dict[int | str, dict[str, Any]] = {
    **RESPONSES,
    403: {"model": Problem, "description": "The token is wrong, or the server was given none"},
}
NOT_THERE: dict[int | str, dict[str, Any]] = {**RESPONSES, 404: {"model": Problem, "description": "No such file"}}


async def service_of(request: Request) -> Service:
    """The application's service."""
    found: Service = request.app.state.service
    return found


ServiceOf = Annotated[Service, Depends(service_of)]


async def allowed(service: ServiceOf, authorization: Annotated[str, Header()] = "") -> None:
    """Let only who knows the server's token change what answers."""
    token = service.settings.token
    given = authorization.removeprefix("Bearer ")
    if not token or not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        raise HTTPException(403, "updates need the server's token (NEWS_CLS_TOKEN), sent as Authorization: Bearer …")


def create_app(service: Service) -> FastAPI:
    """The application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="news_cls",
        version="1",
        description="Topics of news: how sure, why, and by which version; what people say is right teaches it.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    rate = service.settings.rate
    web = Web(title="news_cls", folder=PAGES, settings=WebSettings(body=BODIES, rate=rate, burst=int(10 * rate)))
    web.install(app)
    waiting = Gauge("articles_waiting", "Articles in the queue", registry=web.registry)
    waiting.set_function(lambda: service.queue.depth)
    add_routes(app)
    add_pages(app, web, service)
    return app


def add_routes(app: FastAPI) -> None:
    """The handlers under their paths."""
    app.post("/classify", responses=RESPONSES, summary="Topic of an article")(classify)
    app.post("/classify/batch", responses=RESPONSES, summary="Topics of several articles")(classify_batch)
    app.post("/explain", responses=RESPONSES, summary="Why a topic")(explain)
    app.post("/feedback", responses=RESPONSES, status_code=201, summary="Say what is right")(feedback)
    upload_body = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}
    app.post("/files", responses=RESPONSES, status_code=202, summary="Classify a CSV", openapi_extra=upload_body)(
        upload
    )
    app.get("/files/{name}", responses=NOT_THERE, summary="How far a file is")(file_state)
    app.get("/files/{name}/result", responses=NOT_THERE, summary="A file's answers")(file_result)
    app.get("/versions", summary="What answers, and the log of decisions")(versions)
    app.post("/update", responses=REFUSED, dependencies=[Depends(allowed)], summary="Learn from feedback")(update)
    app.post("/rollback", responses=REFUSED, dependencies=[Depends(allowed)], summary="Go back a version")(rollback)
    app.get("/health", summary="Is the server up")(health)
    app.get("/ready", responses={503: {"model": Health, "description": "Not yet"}}, summary="Does it take work")(ready)


async def classify(body: ClassifyRequest, service: ServiceOf) -> ClassifyResponse:
    """The likeliest topics, calibrated; "unsure" asks for a person."""
    (answer,), version = await service.classify([body.text])
    return said(answer, version, body.top_k)


async def classify_batch(body: BatchRequest, service: ServiceOf) -> BatchResponse:
    """Answers in the order of the texts, all by one version."""
    answers, version = await service.classify(body.texts)
    return BatchResponse(answers=[said(each, version, body.top_k) for each in answers])


async def explain(body: ExplainRequest, service: ServiceOf) -> ExplainResponse:
    """What each word adds to the topic's logit (integrated gradients)."""
    found, version = await service.explain(body.text, body.topic)
    words = [Word(word=word, score=score) for word, score in zip(found.words, found.scores, strict=True)]
    return ExplainResponse(
        topic=service.classifier.labels[found.topic],
        words=words,
        logit=found.logit,
        baseline=found.baseline,
        error=found.error,
        version=version,
    )


async def feedback(body: FeedbackRequest, service: ServiceOf) -> FeedbackResponse:
    """Keep the right label; the next update learns from it, or is judged by it."""
    number, answered, waiting = await service.say(body.text, body.label)
    return FeedbackResponse(id=number, said=answered, waiting=waiting)


async def upload(
    request: Request, service: ServiceOf, column: Annotated[str, Query(min_length=1, max_length=200)] = "text"
) -> FileState:
    """Take a CSV in UTF-8 with a header; its body is the file itself."""
    return state(service, await service.files.accept(await request.body(), column))


FileName = Annotated[str, InPath(max_length=64)]


async def file_state(name: FileName, service: ServiceOf) -> FileState:
    """Rows that are done."""
    return state(service, found_file(service, name))


async def file_result(name: FileName, service: ServiceOf) -> FileResponse:
    """The rows with topic, probability and "unsure"."""
    own = found_file(service, name)
    if not service.files.result(own.id).is_file():
        raise HTTPException(404, "the file is not done yet")
    return FileResponse(service.files.result(own.id), media_type="text/csv", filename=f"topics-{own.id}.csv")


def found_file(service: Service, name: str) -> Uploaded:
    """A file by its id, or 404."""
    found = service.files.get(name)
    if found is None:
        raise HTTPException(404, "there is no such file")
    return found


def state(service: Service, own: Uploaded) -> FileState:
    """How far a file is; it is finished when its answers are on disk."""
    finished = service.files.result(own.id).is_file()
    return FileState(
        id=own.id, rows=own.total, done=own.done, finished=finished, version=own.version, problem=own.problem
    )


async def versions(service: ServiceOf) -> VersionsResponse:
    """The version that answers, and why."""
    waiting = await asyncio.to_thread(service.versions.waiting)
    own = [Decision(**row) for row in await asyncio.to_thread(service.versions.decisions, 50)]
    labels = list(service.classifier.labels)
    return VersionsResponse(current=service.version, labels=labels, feedback_waiting=waiting, decisions=own)


async def update(service: ServiceOf) -> UpdateResponse:
    """Train on feedback with replay; the gate lets the version in or not."""
    decision, version = await service.update()
    return UpdateResponse(
        accepted=decision.accepted,
        version=version,
        reason=decision.reason,
        old=list(decision.old),
        new=list(decision.new),
    )


async def rollback(service: ServiceOf) -> Health:
    """The version before answers again."""
    return Health(status="ok", version=await service.rollback())


async def health(service: ServiceOf) -> Health:
    """Up."""
    return Health(status="ok", waiting=service.queue.depth)


async def ready(service: ServiceOf) -> Health:
    """Takes work, and by which version."""
    if not service.ready:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "starting or stopping", {"Retry-After": "1"})
    return Health(status="ok", version=service.version, waiting=service.queue.depth)


def said(answer: Answer, version: int, top_k: int) -> ClassifyResponse:
    """An answer as it goes out."""
    topics = [TopicProbability(topic=topic, probability=sure) for topic, sure in answer.probabilities[:top_k]]
    return ClassifyResponse(topic=answer.topic, unsure=answer.unsure, topics=topics, version=version)


# ---------------------------------------------------------------- pages


def add_pages(app: FastAPI, web: Web, service: Service) -> None:
    """What people see, and Swagger UI from files on this machine."""

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> HTMLResponse:
        texts = web.pages.spoken(language_of(request), "news.")
        return web.page(request, "index.html", texts=texts, labels=list(service.classifier.labels))

    add_documentation(app, web)
