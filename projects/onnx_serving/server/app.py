"""The routes: thin handlers over the service, each model behind its own queue.

app = create_app(models, settings)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Body, Depends, FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from projects.onnx_serving.inference.sampling import Sampling
from projects.onnx_serving.server.batching import OverloadedError
from projects.onnx_serving.server.guard import Guard, plain
from projects.onnx_serving.server.schemas import (
    FILM,
    GenerateRequest,
    GenerateResponse,
    Health,
    Problem,
    QAAnswer,
    QARequest,
    QAResponse,
    Refusal,
    refusal,
)
from projects.onnx_serving.server.service import GenerationWork, Models, Service
from projects.onnx_serving.server.settings import Settings
from shared.errors import UserError

Result = TypeVar("Result")

REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"model": Refusal, "description": "The body is too large"},
    422: {"model": Refusal, "description": "The request does not fit, and why"},
    503: {"model": Refusal, "description": "Too many requests wait; Retry-After says when to come back"},
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events, one a piece"}
}

GENERATE_EXAMPLES: dict[str, Any] = {
    "chat": {
        "summary": "A question",
        "value": {"prompt": "Name three films by Alfred Hitchcock.", "max_new_tokens": 48},
    },
    "continue": {
        "summary": "A text to go on with, sampled",
        "value": {"prompt": "The old cinema on the corner", "chat": False, "temperature": 0.8, "top_p": 0.9, "seed": 1},
    },
}
QA_EXAMPLES: dict[str, Any] = {
    "answer": {"summary": "The text answers", "value": {"question": "Who directed Vertigo?", "context": FILM}},
    "none": {
        "summary": "The text does not",
        "value": {"question": "Who directed Psycho?", "context": FILM, "top_k": 2},
    },
}


class ClientLeftError(Exception):
    """Nobody waits for the answer any more."""


async def service_of(request: Request) -> Service:
    """The application's service; a function that is no coroutine would cost every request a hop to a thread."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


def create_app(models: Models, settings: Settings) -> FastAPI:
    """The application.

    Args:
        models: Loaded, or stand-ins of the same interface.
        settings: Limits of queues, batches and bodies.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with app.state.service.running():
            yield  # leaving lets those that wait finish: SIGTERM drains

    app = FastAPI(
        title="onnx_serving",
        version="1",
        description="Text generation and question answering on exported ONNX graphs.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = Service(models, settings)
    app.add_middleware(Guard, largest=settings.body, observe=app.state.service.telemetry.request)
    add_error_handlers(app)
    add_routes(app)
    add_documentation(app)
    return app


def add_error_handlers(app: FastAPI) -> None:
    """Every error that a request can cause, with its status."""
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(UnicodeEncodeError, unreadable_body)  # half a surrogate pair in the name of a field
    app.add_exception_handler(HTTPException, unreadable_body)
    app.add_exception_handler(UserError, validation_error)
    app.add_exception_handler(OverloadedError, overloaded)
    app.add_exception_handler(ClientLeftError, client_left)


def add_routes(app: FastAPI) -> None:
    """The handlers under their paths."""
    app.post("/generate", responses=REFUSALS, summary="Continue a prompt")(generate)
    app.post(
        "/generate/stream", response_class=StreamingResponse, responses={**REFUSALS, **STREAM}, summary="Token by token"
    )(stream)
    app.post("/qa", responses=REFUSALS, summary="Answer a question from a text")(answer)
    app.get("/health", summary="Is the server up")(health)
    app.get("/metrics", response_class=PlainTextResponse, summary="Numbers for Prometheus")(metrics)


async def generate(
    body: Annotated[GenerateRequest, Body(openapi_examples=GENERATE_EXAMPLES)], request: Request, service: ServiceOf
) -> GenerateResponse:
    """The whole continuation at once."""
    work = work_of(body, service)
    tokens = await unless_disconnected(request, service.generate(work))
    return GenerateResponse(
        text=service.models.generator.decode(tokens),
        new_tokens=len(tokens),
        prompt_tokens=len(work.prompt.token_ids),
        finish="length" if len(tokens) == body.max_new_tokens else "end",
    )


async def stream(
    body: Annotated[GenerateRequest, Body(openapi_examples=GENERATE_EXAMPLES)], service: ServiceOf
) -> StreamingResponse:
    """Server-sent events: pieces of text as JSON strings, then one `done` event."""
    work = work_of(body, service)
    pieces = await service.stream(work)  # a full queue refuses here, and is still a 503

    async def events() -> AsyncIterator[str]:
        async with aclosing(pieces):
            async for piece in pieces:
                yield event("piece", piece)
        made = len(work.generated)
        yield event("done", {"new_tokens": made, "finish": "length" if made == body.max_new_tokens else "end"})

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def answer(
    body: Annotated[QARequest, Body(openapi_examples=QA_EXAMPLES)], request: Request, service: ServiceOf
) -> QAResponse:
    """Spans of the text, best first; an empty answer says that the text holds none."""
    found = await unless_disconnected(request, service.answer(body.question, body.context, body.top_k))
    return QAResponse(answers=[QAAnswer(**asdict(each)) for each in found])


async def health(service: ServiceOf) -> Health:
    """Up, with its graphs and the length of its queues."""
    return Health(status="ok", graphs=list(service.models.graphs), waiting=service.waiting)


async def metrics(service: ServiceOf) -> PlainTextResponse:
    """Counters and histograms in Prometheus' text format."""
    return PlainTextResponse(service.telemetry.page(), media_type=CONTENT_TYPE_LATEST)


def work_of(body: GenerateRequest, service: Service) -> GenerationWork:
    """The work of a request.

    Raises:
        UserError: If the prompt has too many tokens.
    """
    sampling = Sampling(temperature=body.temperature, top_p=body.top_p, seed=body.seed)
    return service.models.generator.work(
        body.prompt, chat=body.chat, max_new_tokens=body.max_new_tokens, sampling=sampling
    )


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result, unless the client leaves first: then the work is cancelled and its place is free.

    Raises:
        ClientLeftError: If it did.
    """
    job = asyncio.create_task(work)
    leaving = asyncio.ensure_future(request.receive())  # the body has been read: what comes next is the disconnect
    waited: set[asyncio.Future[Any]] = {job, leaving}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            return job.result()
        raise ClientLeftError
    finally:
        job.cancel()
        leaving.cancel()
        await asyncio.wait([job])  # it has let go of its place when the client is told


def event(name: str, value: Any) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(value)}\n\n"


async def validation_error(_: Request, error: Exception) -> JSONResponse:
    """422, without repeating the input: it may hold what JSON cannot (NaN, half a surrogate pair)."""
    if isinstance(error, RequestValidationError):
        problems = [
            Problem(loc=[plain(part) for part in each["loc"]], msg=plain(each["msg"]), type=each["type"])
            for each in error.errors()
        ]
        return JSONResponse(Refusal(detail=problems).model_dump(), status_code=422)
    return JSONResponse(refusal(str(error), "body"), status_code=422)


async def unreadable_body(request: Request, error: Exception) -> Response:
    """A body that no parser takes (nested too deep, a number of 5,000 digits) is 422 like every other misfit."""
    if not isinstance(error, HTTPException) or error.status_code == 400:
        return JSONResponse(refusal("the body cannot be read as JSON", "body", kind="json_invalid"), status_code=422)
    return await http_exception_handler(request, error)


async def overloaded(_: Request, error: Exception) -> JSONResponse:
    """503 with Retry-After."""
    assert isinstance(error, OverloadedError)
    body = refusal(str(error), "server", kind="overloaded")
    return JSONResponse(body, status_code=503, headers={"Retry-After": str(error.retry_after)})


async def client_left(request: Request, _: Exception) -> PlainTextResponse:
    """Nobody reads this answer; 499 is what logs call it."""
    request.app.state.service.telemetry.left()
    return PlainTextResponse("", status_code=499)


def add_documentation(app: FastAPI) -> None:
    """Swagger UI at /docs, from files on this machine if they are installed, else from the network."""
    page = partial(get_swagger_ui_html, openapi_url="/openapi.json", title="onnx_serving")
    folder = swagger_files()
    if folder:
        app.mount("/docs/files", StaticFiles(directory=folder), name="docs")
        names = {"js": "swagger-ui-bundle.js", "css": "swagger-ui.css", "favicon": "favicon.png"}
        page = partial(page, **{f"swagger_{kind}_url": f"/docs/files/{name}" for kind, name in names.items()})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page()


def swagger_files() -> Path | None:
    """Where the package fastapi-offline keeps Swagger UI's files; it is not imported."""
    found = find_spec("fastapi_offline")
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    return folder if folder and (folder / "swagger-ui-bundle.js").is_file() else None
