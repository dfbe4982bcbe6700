"""What goes over HTTP, with examples that work."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from projects.qa_api.data.documents import MOST_CHARACTERS

Text = Annotated[str, StringConstraints(min_length=1, max_length=MOST_CHARACTERS)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Identity = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$")]
Spoken = Annotated[str, StringConstraints(max_length=2_000)]
Language = Literal["en", "es"]


class Document(BaseModel):
    """A document to be put."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Sol", "text": "El Sol es una estrella.", "language": "es"}]}
    )
    title: Title
    text: Text
    language: Language = "en"


class Named(Document):
    """A document with its id, for many at once."""

    id: Identity


class Bulk(BaseModel):
    """Many documents; each is put apart."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"documents": [{"id": "sol", "title": "Sol", "text": "El Sol es una estrella."}]}]
        }
    )
    documents: Annotated[list[Named], Field(min_length=1, max_length=100)]


class Kept(BaseModel):
    """A document as it is kept."""

    id: str
    title: str
    text: str
    language: Language
    etag: str
    changed: int


class Item(BaseModel):
    """What became of one of many documents."""

    id: str
    status: Literal["created", "kept", "refused"]
    etag: str = ""
    detail: str = ""


class Items(BaseModel):
    """What became of each."""

    items: list[Item]


class Question(BaseModel):
    """A question; with the token of a question back and the chosen document, its follow-up."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": "¿Cuál es la capital de Malta?"}, {"question": "What is a mole?"}]}
    )
    question: Spoken
    language: Language | None = None
    token: Annotated[str, StringConstraints(max_length=4_000)] | None = None
    document: Identity | None = None


class Questions(BaseModel):
    """Several questions at once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"questions": [{"question": "What is a mole?"}, {"question": "¿Qué es el Sol?"}]}]
        }
    )
    questions: Annotated[list[Question], Field(min_length=1, max_length=20)]


class Source(BaseModel):
    """Where an answer stands: offsets are of characters in the document's text."""

    document: str
    title: str
    start: int
    stop: int
    etag: str


class Option(BaseModel):
    """A document that may be meant."""

    document: str
    title: str
    answer: str


class Answer(BaseModel):
    """What is said to a question.

    `kind`: answer; none (nothing in the documents answers it); clarify (say which of `options`, with `token`).
    """

    id: str
    kind: Literal["answer", "none", "clarify"]
    language: Language
    text: str = ""
    chance: float = 0.0
    source: Source | None = None
    options: list[Option] = []
    token: str = ""
    suggestions: list[str] = []


class Answers(BaseModel):
    """An answer a question, in their order."""

    answers: list[Answer]


class Hit(BaseModel):
    """A document that a search found."""

    document: str
    title: str
    language: Language
    score: float
    beginning: str


class Hits(BaseModel):
    """Best first."""

    hits: list[Hit]


class Feedback(BaseModel):
    """Whether an answer was right."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": "0123456789abcdef", "right": True}]})
    answer: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    right: bool


class Usage(BaseModel):
    """What a tenant has, and used since the process began."""

    documents: int
    used: dict[str, int]
    right: int
    wrong: int


class Done(BaseModel):
    """That something was done, and to how much."""

    done: bool
    documents: int = 0


class Act(BaseModel):
    """Somebody changed something: name of the key, id of the request, ETag of what the document became."""

    at: int
    key: str
    request: str
    action: str
    document: str
    etag: str


class Audit(BaseModel):
    """Newest first."""

    acts: list[Act]


class Health(BaseModel):
    """Whether the server is up."""

    status: Literal["ok"]


class Ready(BaseModel):
    """What the server takes now.

    `status`: ok; degraded (it answers; `store` full: no changes; `index` rebuilding: the old one answers). `mended` is
    how often an index that failed was made again since the start.
    """

    status: Literal["ok", "degraded"]
    store: Literal["ok", "full"] = "ok"
    index: Literal["ok", "rebuilding"] = "ok"
    mended: int = 0
