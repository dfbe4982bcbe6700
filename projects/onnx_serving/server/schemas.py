"""What goes in and out over HTTP, with its limits and examples."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
NOT_BLANK = r"\S"

FILM = (
    "Vertigo is a 1958 American film noir psychological thriller film directed and produced by Alfred Hitchcock. "
    "The film stars James Stewart as former police detective John Ferguson."
)


class Model(BaseModel):
    """Unknown fields are refused: a misspelt option would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class GenerateRequest(Model):
    """A prompt, and how it is to be continued."""

    prompt: Annotated[
        str, Field(min_length=1, max_length=16384, description="What the user says, or a text to go on with.")
    ]
    max_new_tokens: Annotated[int, Field(ge=1, le=256, description="Tokens at most.")] = 64
    temperature: Annotated[Number, Field(ge=0, le=10, description="0 takes the likeliest token.")] = 0.0
    top_p: Annotated[Number, Field(gt=0, le=1, description="Share of the probability that tokens are drawn from.")] = (
        1.0
    )
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Of this request's own random numbers.")] = 0
    chat: Annotated[bool, Field(description="Put the prompt into the model's chat template.")] = True

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"prompt": "Name three films by Alfred Hitchcock.", "max_new_tokens": 48}]},
    )


class GenerateResponse(Model):
    """The continuation."""

    text: str
    new_tokens: int
    prompt_tokens: int
    finish: Annotated[Literal["end", "length"], Field(description="The model ended, or the limit was reached.")]


class QARequest(Model):
    """A question and the text to answer it from."""

    question: Annotated[str, Field(min_length=1, max_length=512, pattern=NOT_BLANK)]
    context: Annotated[str, Field(min_length=1, max_length=20000, pattern=NOT_BLANK)]
    top_k: Annotated[int, Field(ge=1, le=10, description="Answers at most, best first.")] = 1

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"question": "Who directed Vertigo?", "context": FILM, "top_k": 1}]},
    )


class QAAnswer(Model):
    """context[start:end] == answer; an empty answer says that the context holds none."""

    answer: str
    start: int
    end: int
    score: Annotated[float, Field(description="Probability of this span in its window.")]
    no_answer: Annotated[float, Field(description="Probability that the context holds no answer.")]


class QAResponse(Model):
    """Answers, best first."""

    answers: list[QAAnswer]


class Health(Model):
    """Whether the server is up, and what it runs."""

    status: Literal["ok"]
    graphs: list[str]
    waiting: Annotated[dict[str, int], Field(description="Requests in each queue.")]


class Problem(Model):
    """One thing that is wrong with a request."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(Model):
    """Why a request was not taken."""

    detail: list[Problem]


def refusal(message: str, *where: str, kind: str = "value_error") -> dict[str, Any]:
    """The body of a refusal with one problem."""
    return Refusal(detail=[Problem(loc=list(where), msg=message, type=kind)]).model_dump()
