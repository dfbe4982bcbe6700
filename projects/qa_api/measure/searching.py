"""Which of several searches finds the right document, for queries of the test titles."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from projects.qa_api.data.documents import Document, Language, Part, introductions
from projects.qa_api.data.examples import fact_examples
from projects.qa_api.data.queries import Query, across, descriptions
from projects.qa_api.index.encoder import Encoder, SentenceEncoder, document_vectors
from projects.qa_api.index.library import FETCHED
from projects.qa_api.index.merge import Candidates, Hits, Merge, candidates, fit_merge, reciprocal_ranks
from projects.qa_api.index.vectors import VectorIndex
from projects.qa_api.train import word_index
from shared.study import Item

Task = Literal["en", "es", "across", "questions en", "questions es"]
Method = Literal["words", "vectors", "ranks", "merge"]
TASKS: dict[Task, tuple[Language, ...]] = {
    "en": ("en",), "es": ("es",), "across": ("en",), "questions en": ("en", "es"), "questions es": ("en", "es"),
}  # fmt: skip
"""Tasks, and the languages of the documents that are searched. "across": Spanish queries, English documents."""
METHODS: tuple[Method, ...] = ("words", "vectors", "ranks", "merge")
LANGUAGES: tuple[Language, ...] = ("en", "es")


@dataclass(frozen=True, kw_only=True)
class Searching:
    """One way of searching for the queries of one task."""

    task: Task
    method: Method
    encoder: str = "e5"
    queries: int = 600
    """Queries about test titles."""
    taught: int = 600
    """Queries about training titles, and as many about validation titles, of each task: what the merge is fitted on."""


@dataclass(frozen=True)
class Hit:
    """What both searches found for a query."""

    query: Query
    words: Hits
    vectors: Hits


@cache
def every_document() -> dict[str, Document]:
    """All introductions by id."""
    return {each.id: each for language in LANGUAGES for each in introductions(language)}


@cache
def nearest(encoder: str, languages: tuple[Language, ...]) -> tuple[Encoder, VectorIndex]:
    """Introductions by their vectors."""
    model = SentenceEncoder.load(encoder)
    index = VectorIndex(model.width)
    for language in languages:
        documents = introductions(language)
        index.put([each.id for each in documents], document_vectors(documents, model))
    return model, index


def queries(task: Task, part: Part, count: int) -> list[Query]:
    """Descriptions, which share no word with the title; or questions about stated facts, which name it."""
    every = list(every_document().values())
    if task == "across":
        return across(every, part, count)
    if task in LANGUAGES:
        return descriptions([each for each in every if each.language == task], part, count)
    asked = [each for each in fact_examples(every, part) if each.language == task.rsplit(" ", maxsplit=1)[-1]]
    random.Random(0).shuffle(asked)
    return [Query(each.question, each.language, each.document) for each in asked[:count]]


@cache
def hits(encoder: str, task: Task, part: Part, count: int) -> tuple[Hit, ...]:
    """Both searches of a task's queries."""
    model, index = nearest(encoder, TASKS[task])
    words, asked = word_index(LANGUAGES), queries(task, part, count)
    vectors = model.encode([each.text for each in asked], "query")
    return tuple(
        Hit(each, words.search(each.text, FETCHED, TASKS[task]), index.search(vector, FETCHED))
        for each, vector in zip(asked, vectors, strict=True)
    )


def candidates_of(hit: Hit) -> Candidates:
    """With their features."""
    return candidates(hit.query.text, hit.query.language, hit.words, hit.vectors, every_document())


@cache
def taught_merge(encoder: str, taught: int) -> Merge:
    """Fitted on titles of training and validation: one merge for every task."""
    parts: tuple[Part, ...] = ("train", "validation")
    known = [hit for task in TASKS for part in parts for hit in hits(encoder, task, part, taught)]
    return fit_merge([candidates_of(hit) for hit in known], [hit.query.document for hit in known])


def ranking(config: Searching, hit: Hit) -> Sequence[str]:
    """Ids in the order of a method."""
    if config.method == "merge":
        return [each for each, _ in taught_merge(config.encoder, config.taught).ranked(candidates_of(hit))]
    if config.method == "ranks":
        return [each for each, _ in reciprocal_ranks(hit.words, hit.vectors)]
    return [each for each, _ in (hit.words if config.method == "words" else hit.vectors)]


def searched(config: Searching) -> Iterator[Item]:
    """Whether the right document of each query is first, among ten, and 1 / its rank if it is."""
    for hit in hits(config.encoder, config.task, "test", config.queries):
        found = ranking(config, hit)
        rank = found.index(hit.query.document) + 1 if hit.query.document in found else 0
        numbers = {"first": float(rank == 1), "ten": float(0 < rank <= 10), "mrr": 1 / rank if 0 < rank <= 10 else 0.0}
        yield numbers, {"query": hit.query.text, "document": hit.query.document, "found": list(found[:3])}
