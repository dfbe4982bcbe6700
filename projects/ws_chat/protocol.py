"""The frames of protocol.md: what a page may send, what a server sends, and nothing else."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

VERSION = 1
SUBPROTOCOL = "ws-chat.v1"
LARGEST_FRAME = 65_536  # bytes
LONGEST_TEXT = 16_000  # characters of a message

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,40}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]  # PostgreSQL's
Sequence = Annotated[int, Field(ge=0, le=2**53)]
Role = Literal["user", "assistant"]
Reason = Literal["end", "length", "stopped", "left", "filtered", "failed"]
Code = Literal[
    "bad_frame", "unknown_conversation", "busy", "full", "too_long", "too_fast", "refused", "nothing", "failed",
]  # fmt: skip


class Frame(BaseModel):
    """Fields that are not named are refused: a typing error is no silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# ---------------------------------------------------------------- from the page


class Hello(Frame):
    """The first frame of a connection."""

    type: Literal["hello"] = "hello"
    version: int


class Subscribe(Frame):
    """Asks for the events of a conversation after a number."""

    type: Literal["subscribe"] = "subscribe"
    conversation: Id
    after: Sequence = 0


class Unsubscribe(Frame):
    """Ends a subscription."""

    type: Literal["unsubscribe"] = "unsubscribe"
    conversation: Id


class Message(Frame):
    """A message of the user; sent twice with one id, it is taken once."""

    type: Literal["message"] = "message"
    conversation: Id
    id: Id
    text: Text


class Edit(Frame):
    """Another text instead of an earlier message of the user and all that followed it."""

    type: Literal["edit"] = "edit"
    conversation: Id
    id: Id
    message: Id
    text: Text


class Regenerate(Frame):
    """Another answer instead of the last one."""

    type: Literal["regenerate"] = "regenerate"
    conversation: Id
    id: Id


class Stop(Frame):
    """Ends the answer that is being written."""

    type: Literal["stop"] = "stop"
    conversation: Id


class Typing(Frame):
    """The user is writing."""

    type: Literal["typing"] = "typing"
    conversation: Id


class Pong(Frame):
    """The line is alive."""

    type: Literal["pong"] = "pong"


Sent = Hello | Subscribe | Unsubscribe | Message | Edit | Regenerate | Stop | Typing | Pong
# pydantic keeps up to 16,384 short strings that it has read; texts and ids of people are not for keeping.
READING = ConfigDict(cache_strings="keys")
RECEIVED: TypeAdapter[Sent] = TypeAdapter(Annotated[Sent, Field(discriminator="type")], config=READING)
"""Reads what a page sent."""


# ---------------------------------------------------------------- from the server


class Stored(Frame):
    """A message as it is kept."""

    id: Id
    role: Role
    text: str
    created: datetime
    reason: Reason | None = None


class Event(Frame):
    """What changes a conversation, numbered."""

    conversation: Id
    seq: Sequence


class MessageEvent(Event):
    """A message was stored."""

    type: Literal["message"] = "message"
    message: Stored


class RemovedEvent(Event):
    """Messages were taken away."""

    type: Literal["removed"] = "removed"
    messages: tuple[Id, ...]


class StartedEvent(Event):
    """An answer is being written."""

    type: Literal["started"] = "started"
    answer: Id


class TokenEvent(Event):
    """A piece of an answer."""

    type: Literal["token"] = "token"
    answer: Id
    text: str


class DoneEvent(Event):
    """An answer has ended; what there is of it is stored."""

    type: Literal["done"] = "done"
    answer: Id
    reason: Reason
    message: Stored | None


Numbered = MessageEvent | RemovedEvent | StartedEvent | TokenEvent | DoneEvent
NUMBERED: TypeAdapter[Numbered] = TypeAdapter(Annotated[Numbered, Field(discriminator="type")], config=READING)
"""Reads an event that another replica wrote."""


class Writing(Frame):
    """An answer as far as it is known."""

    answer: Id
    text: str


class Welcome(Frame):
    """Answer to `hello`."""

    type: Literal["welcome"] = "welcome"
    version: int = VERSION
    user: str
    expires: datetime
    ping: float


class Snapshot(Frame):
    """A conversation as it is at a number."""

    type: Literal["snapshot"] = "snapshot"
    conversation: Id
    seq: Sequence
    messages: tuple[Stored, ...]
    writing: Writing | None


class Waiting(Frame):
    """Place of an answer in the queue; 1 is next."""

    type: Literal["waiting"] = "waiting"
    conversation: Id
    answer: Id
    place: int


class TypingShown(Frame):
    """Somebody else is writing in the same conversation."""

    type: Literal["typing"] = "typing"
    conversation: Id
    user: str


class Changed(Frame):
    """The title changed, or the conversation is gone."""

    type: Literal["changed"] = "changed"
    conversation: Id


class ErrorFrame(Frame):
    """A frame was not taken; `id` is that of the frame, if it had one."""

    type: Literal["error"] = "error"
    code: Code
    detail: str
    id: str | None = None


class Ping(Frame):
    """Answer with `pong`."""

    type: Literal["ping"] = "ping"


Shown = Welcome | Snapshot | Numbered | Waiting | TypingShown | Changed | ErrorFrame | Ping
