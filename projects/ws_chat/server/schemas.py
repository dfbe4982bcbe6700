"""What goes in and out over HTTP, with its limits and examples."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from projects.ws_chat.protocol import Id, Stored
from projects.ws_chat.store.accounts import LONGEST, SHORTEST

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=NO_CONTROL)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]*$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True, pattern=NO_CONTROL)]
Search = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]*$")]


class Model(BaseModel):
    """Unknown fields are refused: a misspelt one would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class Login(Model):
    """Who wants to come in."""

    name: Name
    password: Password

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "ana", "password": "correct horse battery"}]}
    )


class Registration(Login):
    """Who was invited; a password has 10 characters or more."""

    invitation: Code
    password: Annotated[Password, Field(min_length=SHORTEST)]

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "ana", "password": "correct horse battery", "invitation": "vK3_example-code0"}]
        },
    )


class Confirmation(Model):
    """The password once more, before what cannot be undone."""

    password: Password

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"password": "correct horse battery"}]})


class PasswordChange(Model):
    """The password, and what it shall be; a password has 10 characters or more."""

    password: Password
    new: Annotated[Password, Field(min_length=SHORTEST)]

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"password": "correct horse battery", "new": "staple correct horse"}]},
    )


class Me(Model):
    """Who is logged in."""

    name: str
    admin: bool
    expires: datetime


class Invite(Model):
    """What an invitation allows."""

    admin: Annotated[bool, Field(description="Whether the invited may invite.")] = False

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"admin": False}]})


class Invitation(Model):
    """A code for one account; it is shown here and never again."""

    code: str
    days: int


class Rename(Model):
    """Another title."""

    title: Title

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "A film of Hitchcock's"}]})


class Conversation(Model):
    """A conversation in a list; `found` is the text around what was searched."""

    id: Id
    title: str
    changed: datetime
    found: str = ""


class ConversationList(Model):
    """The user's conversations, the last changed first."""

    conversations: list[Conversation]


class Exported(Model):
    """A conversation as a file."""

    id: Id
    title: str
    messages: list[Stored]


Form = Literal["json", "markdown"]


class Health(Model):
    """Whether the server is up, and how much it has to do."""

    status: Literal["ok"]
    sockets: int
    writing: int
    waiting: int
