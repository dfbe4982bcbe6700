"""HTTP: thin handlers over the service. What changes something comes from a page of our own, or is refused."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy import text
from starlette.exceptions import HTTPException

from projects.ws_chat.server import schemas
from projects.ws_chat.server.origin import is_own
from projects.ws_chat.server.service import Chat
from projects.ws_chat.store.accounts import INVITED_FOR, Session, folded
from projects.ws_chat.store.conversations import Summary, as_markdown
from shared.web.front import address_of
from shared.web.limits import Limiter
from shared.web.pages import language_of
from shared.web.problems import RESPONSES, Problem

COOKIE = "ws_chat"


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    said = {
        401: "Nobody is logged in",
        403: "The request does not come from a page of this server, or this user may not",
        404: "There is no such conversation of this user",
    }
    mine: dict[int | str, dict[str, Any]] = {code: {"model": Problem, "description": said[code]} for code in codes}
    return {**RESPONSES, **mine}


# ---------------------------------------------------------------- who asks


async def chat_of(request: Request) -> Chat:
    """The service."""
    chat: Chat = request.app.state.chat
    return chat


ChatOf = Annotated[Chat, Depends(chat_of)]


async def session_of(request: Request, chat: ChatOf) -> Session:
    """Who is logged in."""
    session = await chat.accounts.session(token_of(request))
    if session is None:
        raise HTTPException(401, "log in first")
    return session


async def own_page(request: Request, chat: ChatOf) -> None:
    """Refuse what a page of somebody else's makes a browser send, and what says nothing of where it comes from."""
    if not is_own(request.scope, chat.settings.own_origins):
        raise HTTPException(403, "the Origin header must be that of this server")


SessionOf = Annotated[Session, Depends(session_of)]
OwnPage = Depends(own_page)
Known = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{8,40}$", examples=["q1w2e3r4t5y6u7i8"])]

router = APIRouter(prefix="/api")


def cookie_name(request: Any) -> str:
    """With TLS the name itself makes browsers refuse to take it from anybody but this host, or without TLS."""
    return f"__Host-{COOKIE}" if request.url.scheme in ("https", "wss") else COOKIE


def token_of(request: Any) -> str:
    """The token that a request or a WebSocket carries in its cookie; empty if there is none."""
    return str(request.cookies.get(cookie_name(request), ""))


# ---------------------------------------------------------------- coming and going


@router.post("/login", dependencies=[OwnPage], responses=_refusals(401, 403), summary="Begin a session")
async def login(body: schemas.Login, request: Request, chat: ChatOf) -> schemas.Me:
    """A cookie that no script reads; it is another one after every login."""
    _limit(chat.addresses, address_of(request.scope))
    _limit(chat.names, folded(body.name))
    account = await chat.accounts.check(body.name, body.password)
    if account is None:
        raise HTTPException(401, "no account has this name and this password")
    return await _begin(request, chat, account)


@router.post("/register", dependencies=[OwnPage], responses=_refusals(403), summary="Make an account")
async def register(body: schemas.Registration, request: Request, chat: ChatOf) -> schemas.Me:
    """With an invitation, which is used up."""
    _limit(chat.addresses, address_of(request.scope))
    account = await chat.accounts.register(body.invitation, body.name, body.password)
    return await _begin(request, chat, account)


@router.post("/logout", dependencies=[OwnPage], status_code=204, responses=_refusals(401, 403), summary="End a session")
async def logout(request: Request, chat: ChatOf, session: SessionOf) -> Response:
    """Every socket of the session is closed with it."""
    await chat.logout(session)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(request), httponly=True, samesite="lax")
    return response


@router.get("/me", responses=_refusals(401), summary="Who is logged in")
async def me(session: SessionOf) -> schemas.Me:
    """The account of the cookie."""
    return _me(session)


@router.post("/account/password", dependencies=[OwnPage], status_code=204, responses=_refusals(401, 403))
async def change_password(body: schemas.PasswordChange, chat: ChatOf, session: SessionOf) -> Response:
    """Another password, after the one that holds; every other session of the account ends."""
    await _confirm(chat, session, body.password)
    await chat.change_password(session, body.new)
    return Response(status_code=204)


@router.post("/account/delete", dependencies=[OwnPage], status_code=204, responses=_refusals(401, 403))
async def delete_account(body: schemas.Confirmation, chat: ChatOf, session: SessionOf) -> Response:
    """Delete the account with all its conversations; the password is asked once more."""
    await _confirm(chat, session, body.password)
    await chat.delete_account(session.account)
    return Response(status_code=204)


@router.post("/invitations", dependencies=[OwnPage], responses=_refusals(401, 403), summary="Invite somebody")
async def invite(body: schemas.Invite, chat: ChatOf, session: SessionOf) -> schemas.Invitation:
    """A code for one account; administrators make them."""
    if not session.account.admin:
        raise HTTPException(403, "only administrators invite")
    return schemas.Invitation(code=await chat.accounts.invite(admin=body.admin), days=INVITED_FOR.days)


# ---------------------------------------------------------------- conversations


@router.get("/conversations", responses=_refusals(401), summary="List or search conversations")
async def conversations(
    chat: ChatOf,
    session: SessionOf,
    search: Annotated[schemas.Search, Query(description="Only those with this in their title or messages.")] = "",
) -> schemas.ConversationList:
    """The last changed first."""
    user = session.account.id
    found = await (chat.conversations.search(user, search) if search.strip() else chat.conversations.all(user))
    return schemas.ConversationList(conversations=[_shown(each) for each in found])


@router.post("/conversations", dependencies=[OwnPage], status_code=201, responses=_refusals(401, 403))
async def create(chat: ChatOf, session: SessionOf) -> schemas.Conversation:
    """Begin a conversation; its first message gives it a title."""
    return _shown(await chat.conversations.create(session.account.id))


@router.patch(
    "/conversations/{conversation}", dependencies=[OwnPage], status_code=204, responses=_refusals(401, 403, 404)
)
async def rename(conversation: Known, body: schemas.Rename, chat: ChatOf, session: SessionOf) -> Response:
    """Give a conversation another title."""
    if not await chat.rename(session.account.id, conversation, body.title):
        raise HTTPException(404, "there is no such conversation")
    return Response(status_code=204)


@router.delete(
    "/conversations/{conversation}", dependencies=[OwnPage], status_code=204, responses=_refusals(401, 403, 404)
)
async def delete(conversation: Known, chat: ChatOf, session: SessionOf) -> Response:
    """Delete a conversation; its answer ends."""
    if not await chat.delete_conversation(session.account.id, conversation):
        raise HTTPException(404, "there is no such conversation")
    return Response(status_code=204)


@router.get(
    "/conversations/{conversation}/export",
    response_model=schemas.Exported,
    responses={**_refusals(401, 404), 200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
    summary="A conversation as a file",
)
async def export(
    conversation: Known, request: Request, chat: ChatOf, session: SessionOf, form: schemas.Form = "json"
) -> Response:
    """JSON for programs, Markdown for people."""
    named = await chat.conversations.named(session.account.id, conversation)
    messages = await chat.conversations.messages(session.account.id, conversation)
    if named is None or messages is None:
        raise HTTPException(404, "there is no such conversation")
    ending = {"json": "json", "markdown": "md"}[form]
    headers = {"Content-Disposition": f'attachment; filename="chat-{quote(conversation)}.{ending}"'}
    if form == "json":
        whole = schemas.Exported(id=named.id, title=named.title, messages=messages)
        return JSONResponse(whole.model_dump(mode="json"), headers=headers)
    language = language_of(request)
    names = {role: request.app.state.web.pages.say(language, f"chat.{role}") for role in ("user", "assistant")}
    shown = as_markdown(named.title or named.id, messages, names)
    return PlainTextResponse(shown, headers=headers, media_type="text/markdown")


# ---------------------------------------------------------------- how it is


def add_health(app: Any) -> None:
    """Routes for whoever watches the server."""
    app.get("/health", summary="Is the server up")(health)
    app.get("/ready", summary="Does it take work", responses={503: RESPONSES[503]})(ready)


async def health(chat: ChatOf) -> schemas.Health:
    """Up, with what it has to do."""
    hub = chat.hub
    return schemas.Health(status="ok", sockets=len(chat.connections), writing=len(hub.running), waiting=len(hub.queue))


async def ready(chat: ChatOf) -> schemas.Health:
    """Ready: the database answers, and nobody has told the server to stop."""
    if not chat.ready:
        raise HTTPException(503, "the server begins or ends", {"Retry-After": "5"})
    async with chat.database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    return await health(chat)


# ---------------------------------------------------------------- within


def _limit(limiter: Limiter, client: str) -> None:
    if wait := limiter.take(client):
        raise HTTPException(429, f"too many tries: come back in {wait} s", {"Retry-After": str(wait)})


async def _confirm(chat: Chat, session: Session, password: str) -> None:
    _limit(chat.names, folded(session.account.name))
    if await chat.accounts.check(session.account.name, password) is None:
        raise HTTPException(403, "this is not the password")


async def _begin(request: Request, chat: Chat, account: Any) -> Any:
    token, session = await chat.accounts.begin(account, instead_of=token_of(request))
    response = JSONResponse(_me(session).model_dump(mode="json"))
    secure = request.url.scheme == "https"
    age = int(chat.accounts.lasting.total_seconds())
    response.set_cookie(cookie_name(request), token, max_age=age, httponly=True, samesite="lax", secure=secure)
    return response


def _me(session: Session) -> schemas.Me:
    return schemas.Me(name=session.account.name, admin=session.account.admin, expires=session.expires)


def _shown(summary: Summary) -> schemas.Conversation:
    return schemas.Conversation(id=summary.id, title=summary.title, changed=summary.changed, found=summary.found)
