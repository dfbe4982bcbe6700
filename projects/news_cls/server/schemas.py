"""What goes in and out over HTTP, with its limits and examples."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

ARTICLE = (
    "Shares in the chip maker rose 4% after it forecast record sales. Analysts said that demand for memory had "
    "recovered faster than expected, and raised their targets."
)
Text = Annotated[str, Field(min_length=1, max_length=1_000_000, pattern=r"\S", description="Plain text or HTML.")]


class Model(BaseModel):
    """Unknown fields are refused: a misspelt option would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class ClassifyRequest(Model):
    """One article."""

    text: Text
    top_k: Annotated[int, Field(ge=1, le=100, description="Topics at most, likeliest first.")] = 5

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": ARTICLE, "top_k": 3}]})


class BatchRequest(Model):
    """Several articles."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=64)]
    top_k: Annotated[int, Field(ge=1, le=100)] = 1

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"texts": [ARTICLE, "The striker scored twice."]}]}
    )


class TopicProbability(Model):
    """A topic and how likely it is, calibrated."""

    topic: str
    probability: float


class ClassifyResponse(Model):
    """What is said of an article, and by which version."""

    topic: str
    unsure: Annotated[bool, Field(description="A person should look.")]
    topics: list[TopicProbability]
    version: int


class BatchResponse(Model):
    """Answers in the order of the texts."""

    answers: list[ClassifyResponse]


class ExplainRequest(Model):
    """An article, and the topic to be explained; by default the one that is said."""

    text: Text
    topic: str | None = None

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": ARTICLE}]})


class Word(Model):
    """A word that the model read, and what it adds to the topic's logit."""

    word: str
    score: float


class ExplainResponse(Model):
    """Words in their order; the scores add up to logit − baseline, to within the error."""

    topic: str
    words: list[Word]
    logit: float
    baseline: float
    error: float
    version: int


class FeedbackRequest(Model):
    """What is right about an article."""

    text: Text
    label: Annotated[str, Field(min_length=1, max_length=100)]

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": ARTICLE, "label": "business"}]})


class FeedbackResponse(Model):
    """It is on disk."""

    id: int
    said: str
    waiting: Annotated[int, Field(description="Labels that no update has learned from.")]


class FileState(Model):
    """An uploaded file on its way."""

    id: str
    rows: int
    done: int
    finished: bool
    version: Annotated[int | None, Field(description="That answered the last rows; none before the first.")] = None
    problem: Annotated[str, Field(description="Why it stopped; empty while it goes on and when it is finished.")] = ""


class Decision(Model):
    """A line of the log of decisions."""

    id: int
    made: str
    action: str
    version: int
    reason: str
    numbers: dict[str, Any]


class VersionsResponse(Model):
    """What answers now, what it knows, and how it came to that."""

    current: int
    labels: list[str]
    feedback_waiting: int
    decisions: list[Decision]


class UpdateResponse(Model):
    """What the gate said of an update."""

    accepted: bool
    version: int
    reason: str
    old: list[float]
    new: list[float]


class Health(Model):
    """Whether the server is up."""

    status: str
    version: int | None = None
    waiting: int = 0
